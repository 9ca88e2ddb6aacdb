//! The files of a container, as its own processes see them: the probe's tools read them.

use futures_util::StreamExt as _;

use super::node::CriNode;
use crate::engine::exec::{Ended, Output};
use crate::engine::job::{Job, JobNamespaces, Power};
use crate::engine::node_agent::Session;
use crate::error::{Error, Result};

/// The longest file of a container that is read, in bytes.
const LONGEST_LIST: usize = 1 << 20;

impl CriNode {
    /// A text file of a container, as its own processes see it; nothing where it is not there.
    pub(super) async fn file(
        &self,
        container: &str,
        path: &str,
        session: &Session,
    ) -> Result<String> {
        let output = self.tool(container, &["cat", path], session).await?;
        Ok(String::from_utf8_lossy(&output.0).into_owned())
    }

    /// Runs one of the probe's tools over a container's files; gives what it printed and its code.
    async fn tool(
        &self,
        container: &str,
        tool: &[&str],
        session: &Session,
    ) -> Result<(Vec<u8>, Ended)> {
        let pid = self.pid(container).await?;
        let root = format!("/proc/{pid}/root");
        let words = ["shell", &root].into_iter().chain(tool.iter().copied());
        let words = words.map(str::to_owned).collect();
        let job = Job::probe(words, JobNamespaces::NodeProcesses, Power::Tools);
        let mut process = session.spawn(job).await?;
        let mut printed = Vec::new();
        while let Some(piece) = process.output.next().await {
            if let Output::Stdout(bytes) = piece? {
                printed.extend_from_slice(&bytes);
            }
            if printed.len() > LONGEST_LIST {
                return Err(Error::failed(format!(
                    "`{}` of the container has no end",
                    tool.join(" ")
                )));
            }
        }
        Ok((printed, process.control.ended()?))
    }

    /// Those of some files (or links) that are in a container's file system. They are asked for in one
    /// session: sshd has few of them for a connection.
    pub(in crate::engine) async fn files_of(
        &self,
        container: &str,
        paths: &[&str],
    ) -> Result<Vec<String>> {
        let session = Session::new(self.clone());
        let words = [&["ls"], paths].concat();
        let looked = self.tool(container, &words, &session).await;
        session.finish().await;
        match looked? {
            // each that is there, under its own path
            (listed, Ended::With(0 | 1)) => {
                let listed = String::from_utf8_lossy(&listed).into_owned();
                Ok(listed.lines().map(str::to_owned).collect())
            }
            _ => Err(Error::failed("the container's files can't be seen")),
        }
    }

    /// The `/etc/resolv.conf` of the first of these containers in which it can be read.
    pub(in crate::engine) async fn resolver_file(&self, ids: &[String]) -> Option<String> {
        let session = Session::new(self.clone());
        let mut found = None;
        for id in ids {
            let text = self.file(id, "/etc/resolv.conf", &session).await;
            found = text.ok().filter(|text| !text.is_empty());
            if found.is_some() {
                break;
            }
        }
        session.finish().await;
        found
    }
}
