//! The messages of CRI v1 with which the stand-in answers; field numbers are those of its `api.proto`.
//! What it is asked with is in `cri/messages.rs`.

use std::collections::BTreeMap;

use prost::Message;

use crate::support::cri::messages::{ContainerMetadata, Image, Namespaces, SandboxMetadata};

#[derive(Clone, PartialEq, Message)]
pub(super) struct Version {
    #[prost(string, tag = "1")]
    pub(super) of_kubelets: String,
    #[prost(string, tag = "2")]
    pub(super) name: String,
    #[prost(string, tag = "3")]
    pub(super) of_runtime: String,
    #[prost(string, tag = "4")]
    pub(super) of_api: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Sandboxes {
    #[prost(message, repeated, tag = "1")]
    pub(super) items: Vec<Sandbox>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Sandbox {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(message, optional, tag = "2")]
    pub(super) metadata: Option<SandboxMetadata>,
    #[prost(int32, tag = "3")]
    pub(super) state: i32,
    #[prost(int64, tag = "4")]
    pub(super) created_at: i64,
    #[prost(btree_map = "string, string", tag = "5")]
    pub(super) labels: BTreeMap<String, String>,
    #[prost(btree_map = "string, string", tag = "6")]
    pub(super) annotations: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Containers {
    #[prost(message, repeated, tag = "1")]
    pub(super) items: Vec<Container>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Container {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(string, tag = "2")]
    pub(super) sandbox: String,
    #[prost(message, optional, tag = "3")]
    pub(super) metadata: Option<ContainerMetadata>,
    #[prost(message, optional, tag = "4")]
    pub(super) image: Option<Image>,
    #[prost(string, tag = "5")]
    pub(super) image_ref: String,
    #[prost(int32, tag = "6")]
    pub(super) state: i32,
    #[prost(int64, tag = "7")]
    pub(super) created_at: i64,
    #[prost(btree_map = "string, string", tag = "8")]
    pub(super) labels: BTreeMap<String, String>,
    #[prost(btree_map = "string, string", tag = "9")]
    pub(super) annotations: BTreeMap<String, String>,
    #[prost(string, tag = "10")]
    pub(super) image_id: String,
}

/// The answer to the question for a status, with the runtime's own words beside it.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SandboxStatus {
    #[prost(message, optional, tag = "1")]
    pub(super) status: Option<SandboxState>,
    #[prost(btree_map = "string, string", tag = "2")]
    pub(super) info: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SandboxState {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(message, optional, tag = "2")]
    pub(super) metadata: Option<SandboxMetadata>,
    #[prost(int32, tag = "3")]
    pub(super) state: i32,
    #[prost(int64, tag = "4")]
    pub(super) created_at: i64,
    #[prost(message, optional, tag = "5")]
    pub(super) network: Option<Network>,
    #[prost(message, optional, tag = "6")]
    pub(super) linux: Option<Linux>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Network {
    #[prost(string, tag = "1")]
    pub(super) ip: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Linux {
    #[prost(message, optional, tag = "1")]
    pub(super) namespaces: Option<Chosen>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Chosen {
    #[prost(message, optional, tag = "2")]
    pub(super) options: Option<Namespaces>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ContainerStatus {
    #[prost(message, optional, tag = "1")]
    pub(super) status: Option<ContainerState>,
    #[prost(btree_map = "string, string", tag = "2")]
    pub(super) info: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ContainerState {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(message, optional, tag = "2")]
    pub(super) metadata: Option<ContainerMetadata>,
    #[prost(int32, tag = "3")]
    pub(super) state: i32,
    #[prost(int64, tag = "4")]
    pub(super) created_at: i64,
    #[prost(int64, tag = "5")]
    pub(super) started_at: i64,
    #[prost(int64, tag = "6")]
    pub(super) finished_at: i64,
    #[prost(int32, tag = "7")]
    pub(super) exit_code: i32,
    #[prost(message, optional, tag = "8")]
    pub(super) image: Option<Image>,
    #[prost(string, tag = "9")]
    pub(super) image_ref: String,
    #[prost(string, tag = "10")]
    pub(super) reason: String,
    #[prost(string, tag = "11")]
    pub(super) message: String,
    #[prost(string, tag = "15")]
    pub(super) log_path: String,
}

/// A sign that a container changed: of its words only these.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Event {
    #[prost(string, tag = "1")]
    pub(super) container: String,
    #[prost(int32, tag = "2")]
    pub(super) kind: i32,
    #[prost(int64, tag = "3")]
    pub(super) created_at: i64,
}
