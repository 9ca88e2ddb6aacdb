//! Messages of containerd's services for images, as far as devnet reads them: containerd's
//! `api/services/{content,diff,images,leases,snapshots}/v1` and `api/types`.

use std::collections::BTreeMap;

use crate::engine::grpc::Time;

/// A blob by its digest, with its size and kind.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct Descriptor {
    #[prost(string, tag = "1")]
    pub(crate) media_type: String,
    #[prost(string, tag = "2")]
    pub(crate) digest: String,
    #[prost(int64, tag = "3")]
    pub(crate) size: i64,
    #[prost(btree_map = "string, string", tag = "5")]
    pub(crate) annotations: BTreeMap<String, String>,
}

/// The fields of a record that an update is to change, as `labels.NAME`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct FieldMask {
    #[prost(string, repeated, tag = "1")]
    pub(crate) paths: Vec<String>,
}

/// A blob of the content store.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ContentInfo {
    #[prost(string, tag = "1")]
    pub(crate) digest: String,
    #[prost(int64, tag = "2")]
    pub(crate) size: i64,
    #[prost(btree_map = "string, string", tag = "5")]
    pub(crate) labels: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ListContentRequest {
    #[prost(string, repeated, tag = "1")]
    pub(crate) filters: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ListContentResponse {
    #[prost(message, repeated, tag = "1")]
    pub(crate) info: Vec<ContentInfo>,
}

/// The question for a blob, and the order to remove one.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct BlobRequest {
    #[prost(string, tag = "1")]
    pub(crate) digest: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ContentInfoResponse {
    #[prost(message, optional, tag = "1")]
    pub(crate) info: Option<ContentInfo>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct UpdateContentRequest {
    #[prost(message, optional, tag = "1")]
    pub(crate) info: Option<ContentInfo>,
    #[prost(message, optional, tag = "2")]
    pub(crate) update_mask: Option<FieldMask>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ReadContentRequest {
    #[prost(string, tag = "1")]
    pub(crate) digest: String,
    #[prost(int64, tag = "2")]
    pub(crate) offset: i64,
    #[prost(int64, tag = "3")]
    pub(crate) size: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ReadContentResponse {
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) data: bytes::Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum WriteAction {
    Stat = 0,
    Write = 1,
    Commit = 2,
}

/// A piece of a blob that is written.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WriteContentRequest {
    #[prost(enumeration = "WriteAction", tag = "1")]
    pub(crate) action: i32,
    /// The name of the write, until the blob has its digest.
    #[prost(string, tag = "2")]
    pub(crate) r#ref: String,
    #[prost(int64, tag = "3")]
    pub(crate) total: i64,
    /// The digest that the whole must have.
    #[prost(string, tag = "4")]
    pub(crate) expected: String,
    #[prost(int64, tag = "5")]
    pub(crate) offset: i64,
    #[prost(bytes = "bytes", tag = "6")]
    pub(crate) data: bytes::Bytes,
    #[prost(btree_map = "string, string", tag = "7")]
    pub(crate) labels: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WriteContentResponse {
    #[prost(enumeration = "WriteAction", tag = "1")]
    pub(crate) action: i32,
    #[prost(int64, tag = "4")]
    pub(crate) offset: i64,
    #[prost(string, tag = "6")]
    pub(crate) digest: String,
}

/// A mount that makes a snapshot's files appear.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Mount {
    #[prost(string, tag = "1")]
    pub(crate) r#type: String,
    #[prost(string, tag = "2")]
    pub(crate) source: String,
    #[prost(string, tag = "3")]
    pub(crate) target: String,
    #[prost(string, repeated, tag = "4")]
    pub(crate) options: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PrepareSnapshotRequest {
    #[prost(string, tag = "1")]
    pub(crate) snapshotter: String,
    #[prost(string, tag = "2")]
    pub(crate) key: String,
    #[prost(string, tag = "3")]
    pub(crate) parent: String,
    #[prost(btree_map = "string, string", tag = "4")]
    pub(crate) labels: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PrepareSnapshotResponse {
    #[prost(message, repeated, tag = "1")]
    pub(crate) mounts: Vec<Mount>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CommitSnapshotRequest {
    #[prost(string, tag = "1")]
    pub(crate) snapshotter: String,
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    #[prost(string, tag = "3")]
    pub(crate) key: String,
    #[prost(btree_map = "string, string", tag = "4")]
    pub(crate) labels: BTreeMap<String, String>,
}

/// The question for a snapshot or its usage, and the order to remove one.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SnapshotRequest {
    #[prost(string, tag = "1")]
    pub(crate) snapshotter: String,
    #[prost(string, tag = "2")]
    pub(crate) key: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SnapshotInfo {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) parent: String,
    #[prost(enumeration = "SnapshotKind", tag = "3")]
    pub(crate) kind: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum SnapshotKind {
    Unknown = 0,
    View = 1,
    Active = 2,
    Committed = 3,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct StatSnapshotResponse {
    #[prost(message, optional, tag = "1")]
    pub(crate) info: Option<SnapshotInfo>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ListSnapshotsRequest {
    #[prost(string, tag = "1")]
    pub(crate) snapshotter: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ListSnapshotsResponse {
    #[prost(message, repeated, tag = "1")]
    pub(crate) info: Vec<SnapshotInfo>,
}

/// The order to remove what a snapshotter has on its disk and in no record.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CleanupRequest {
    #[prost(string, tag = "1")]
    pub(crate) snapshotter: String,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct UsageResponse {
    /// Bytes, of this snapshot alone.
    #[prost(int64, tag = "1")]
    pub(crate) size: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ApplyRequest {
    #[prost(message, optional, tag = "1")]
    pub(crate) diff: Option<Descriptor>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) mounts: Vec<Mount>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ApplyResponse {
    /// The layer as it is unpacked.
    #[prost(message, optional, tag = "1")]
    pub(crate) applied: Option<Descriptor>,
}

/// A name, and what it stands for.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct NamedImage {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(btree_map = "string, string", tag = "2")]
    pub(crate) labels: BTreeMap<String, String>,
    #[prost(message, optional, tag = "3")]
    pub(crate) target: Option<Descriptor>,
    #[prost(message, optional, tag = "7")]
    pub(crate) created_at: Option<Time>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ListImagesRequest {
    #[prost(string, repeated, tag = "1")]
    pub(crate) filters: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ListImagesResponse {
    #[prost(message, repeated, tag = "1")]
    pub(crate) images: Vec<NamedImage>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GetImageRequest {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
}

/// The order to make or change a name, and the answer to either.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ImageMessage {
    #[prost(message, optional, tag = "1")]
    pub(crate) image: Option<NamedImage>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct DeleteImageRequest {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    /// True where what nobody needs any more is to be gone before the answer.
    #[prost(bool, tag = "2")]
    pub(crate) sync: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CreateLeaseRequest {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    #[prost(btree_map = "string, string", tag = "3")]
    pub(crate) labels: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct DeleteLeaseRequest {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ListLeasesRequest {
    #[prost(string, repeated, tag = "1")]
    pub(crate) filters: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ListLeasesResponse {
    #[prost(message, repeated, tag = "1")]
    pub(crate) leases: Vec<LeaseInfo>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct LeaseInfo {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    #[prost(btree_map = "string, string", tag = "3")]
    pub(crate) labels: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct UpdateImageRequest {
    #[prost(message, optional, tag = "1")]
    pub(crate) image: Option<NamedImage>,
    #[prost(message, optional, tag = "2")]
    pub(crate) update_mask: Option<FieldMask>,
}
