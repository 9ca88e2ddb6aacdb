//! A helper beside a container: in its network and among its processes, with the power to look at its
//! files and no other. It lives as long as devnet holds its stdin open, whatever ends devnet.

use std::pin::Pin;

use bollard::models::{ContainerCreateBody, HostConfig, HostConfigCgroupnsModeEnum};
use bollard::query_parameters::{AttachContainerOptionsBuilder, ListImagesOptionsBuilder};
use futures_util::stream::{self, StreamExt as _};
use tokio::io::AsyncWrite;

use crate::engine::Engine;
use crate::engine::docker::carrier::{
    LOOK, PATIENCE, Source, late, passing, plain, program_of, unique_name,
};
use crate::engine::docker::exec::{Exec, Output};
use crate::engine::docker::reach::RUN;
use crate::error::{Error, Result};
use crate::image::tools::ToolImage;
use crate::lab::label::ROLE;

/// A helper that was made and not yet started.
#[derive(Clone, Debug)]
pub(crate) struct Helper {
    pub(crate) id: String,
    /// Where the probe's program lies in it.
    pub(crate) program: String,
}

/// What keeps a helper alive: its stdin. The engine closes it when devnet's connection ends.
pub(crate) struct Lifeline(#[expect(dead_code, reason = "held, never written")] Input);

type Input = Pin<Box<dyn AsyncWrite + Send>>;

/// Looking through more images than this would take longer than a person waits.
const IMAGES: usize = 200;
const AT_ONCE: usize = 16;
/// What a helper's tools may use: enough for a debugger, too little to harm the node.
const MEMORY: i64 = 1 << 30;
const PROCESSES: i64 = 512;

impl Engine {
    /// Makes a helper: in the network of `network` (a container's ID) and the PID namespace of
    /// `target`.
    ///
    /// # Errors
    /// When the engine refuses, or lacks the image.
    pub(crate) async fn make_helper(
        &self,
        source: &Source,
        network: &str,
        target: &str,
        own_tools: bool,
        run: &str,
    ) -> Result<Helper> {
        let Self::Docker(docker) = self;
        let (image, program, mounts) = program_of(source);
        let mut power = vec!["SYS_PTRACE".to_owned(), "DAC_READ_SEARCH".to_owned()];
        if own_tools {
            // they see the files as the container does
            power.push("SYS_CHROOT".into());
        }
        let body = ContainerCreateBody {
            image: Some(image),
            entrypoint: Some(vec![program.clone()]),
            cmd: Some(vec!["hold".into()]),
            user: Some("0:0".into()),
            labels: Some(
                [
                    (ROLE.to_owned(), LOOK.to_owned()),
                    (RUN.to_owned(), run.to_owned()),
                ]
                .into(),
            ),
            attach_stdin: Some(true),
            open_stdin: Some(true),
            stdin_once: Some(true),
            host_config: Some(HostConfig {
                network_mode: Some(format!("container:{network}")),
                pid_mode: Some(format!("container:{target}")),
                // the paths of cgroups tell which process is the container's
                cgroupns_mode: Some(HostConfigCgroupnsModeEnum::HOST),
                // many tools want to write somewhere
                tmpfs: Some([("/tmp".to_owned(), String::new())].into()),
                memory: Some(MEMORY),
                pids_limit: Some(PROCESSES),
                cap_add: Some(power),
                security_opt: Some(vec![
                    "apparmor=unconfined".into(),
                    "no-new-privileges".into(),
                ]),
                ..passing(mounts)
            }),
            ..plain()
        };
        let id = docker
            .make_probe(&unique_name("devnet-shell"), body)
            .await?;
        docker.bring_program(&id, source).await?;
        Ok(Helper { id, program })
    }

    /// Starts a helper. It ends when what this gives is dropped.
    ///
    /// # Errors
    /// When the engine refuses, as it does when the container has ended.
    pub(crate) async fn start_helper(&self, helper: &Helper) -> Result<Lifeline> {
        let Self::Docker(docker) = self;
        let options = AttachContainerOptionsBuilder::default()
            .stdin(true)
            .stream(true)
            .build();
        let attached = docker
            .api
            .attach_container(&helper.id, Some(options))
            .await
            .map_err(|error| docker.failed("the helper", error))?;
        self.start(&helper.id).await?;
        Ok(Lifeline(attached.input))
    }

    /// Runs a command in a container to its end, and gives what it printed.
    ///
    /// # Errors
    /// When it can't be run.
    pub(crate) async fn said_by(&self, container: &str, command: &[&str]) -> Result<String> {
        let exec = Exec {
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            ..Exec::default()
        };
        let work = async {
            let mut running = self.exec(container, exec).await?;
            let mut said = Vec::new();
            while let Some(piece) = running.output.next().await {
                if let Output::Stdout(bytes) = piece? {
                    said.extend_from_slice(&bytes);
                }
            }
            Ok(said)
        };
        let said = tokio::time::timeout(PATIENCE, work)
            .await
            .unwrap_or_else(|_elapsed| Err(late()))?;
        String::from_utf8(said)
            .map_err(|error| Error::failed("the probe's answer is no text").because(error))
    }

    /// The images here, with what they start.
    ///
    /// # Errors
    /// When the engine can't be asked.
    pub(crate) async fn tool_images(&self) -> Result<Vec<ToolImage>> {
        let Self::Docker(docker) = self;
        let options = ListImagesOptionsBuilder::default().build();
        let listed = docker
            .api
            .list_images(Some(options))
            .await
            .map_err(|error| docker.failed("listing images", error))?;
        let looks = listed.into_iter().take(IMAGES).map(|image| async move {
            // it may have been removed meanwhile
            let about = docker.api.inspect_image(&image.id).await.ok()?;
            let config = about.config.unwrap_or_default();
            let labels = config.labels.unwrap_or_default();
            (!labels.contains_key(ROLE)).then(|| ToolImage {
                id: image.id,
                names: image.repo_tags,
                size: image.size,
                entrypoint: config.entrypoint.unwrap_or_default(),
                command: config.cmd.unwrap_or_default(),
                architecture: about.architecture.unwrap_or_default(),
            })
        });
        let all: Vec<Option<ToolImage>> = stream::iter(looks)
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        Ok(all.into_iter().flatten().collect())
    }
}
