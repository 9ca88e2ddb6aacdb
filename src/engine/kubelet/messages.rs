//! Messages of the kubelet's Pods API and of Kubernetes' pods in it, as far as devnet reads them:
//! kubernetes' `kubelet/pkg/apis/pods/v1alpha1/api.proto` and `api/core/v1/generated.proto`. Fields that
//! are not here (environments above all) are skipped while an answer is decoded.

use crate::engine::grpc::Time;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ListPodsResponse {
    /// A `Pod` each.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub(super) pods: Vec<bytes::Bytes>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Pod {
    #[prost(message, optional, tag = "1")]
    pub(super) metadata: Option<ObjectMeta>,
    #[prost(message, optional, tag = "2")]
    pub(super) spec: Option<PodSpec>,
    #[prost(message, optional, tag = "3")]
    pub(super) status: Option<PodStatus>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ObjectMeta {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "3")]
    pub(super) namespace: String,
    #[prost(string, tag = "5")]
    pub(super) uid: String,
    /// Set from the moment on at which somebody deleted it.
    #[prost(message, optional, tag = "9")]
    pub(super) deletion_timestamp: Option<Time>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PodSpec {
    #[prost(message, repeated, tag = "2")]
    pub(super) containers: Vec<Container>,
    #[prost(string, tag = "3")]
    pub(super) restart_policy: String,
    #[prost(message, repeated, tag = "20")]
    pub(super) init_containers: Vec<Container>,
    #[prost(message, repeated, tag = "34")]
    pub(super) ephemeral_containers: Vec<EphemeralContainer>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Container {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) image: String,
    #[prost(string, tag = "14")]
    pub(super) image_pull_policy: String,
    #[prost(string, tag = "24")]
    pub(super) restart_policy: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct EphemeralContainer {
    /// `EphemeralContainerCommon`, whose numbers are those of a container.
    #[prost(message, optional, tag = "1")]
    pub(super) common: Option<Container>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PodStatus {
    #[prost(string, tag = "1")]
    pub(super) phase: String,
    #[prost(message, repeated, tag = "8")]
    pub(super) container_statuses: Vec<ContainerStatus>,
    #[prost(message, repeated, tag = "10")]
    pub(super) init_container_statuses: Vec<ContainerStatus>,
    #[prost(message, repeated, tag = "13")]
    pub(super) ephemeral_container_statuses: Vec<ContainerStatus>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ContainerStatus {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(message, optional, tag = "2")]
    pub(super) state: Option<ContainerState>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ContainerState {
    #[prost(message, optional, tag = "1")]
    pub(super) waiting: Option<Waiting>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Waiting {
    #[prost(string, tag = "1")]
    pub(super) reason: String,
    #[prost(string, tag = "2")]
    pub(super) message: String,
}
