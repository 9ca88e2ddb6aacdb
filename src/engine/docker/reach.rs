//! The probe inside a pod's network: a container without any capability that joins it, asks who
//! answers, and is gone.

use bollard::models::{ContainerCreateBody, HostConfig};

use crate::engine::docker::Docker;
use crate::engine::docker::carrier::{LOOK, Source, passing, plain, program_of, until_made};
use crate::engine::docker::probe_images::ProbeImages;
use crate::error::Result;
use crate::lab::label::ROLE;
pub(super) use crate::lab::label::RUN;

impl Docker {
    /// Asks from inside the network of a container (`bin/devnet-probe/connect.rs` says what can be asked) and
    /// gives the answers, a line each.
    ///
    /// # Errors
    /// When the engine refuses, as it does when that container has ended.
    pub(in crate::engine) async fn ask_inside(
        &self,
        images: &ProbeImages,
        container: &str,
        run: &str,
        questions: &[String],
    ) -> Result<String> {
        let body = |source: &Source| body(source, container, run, questions);
        self.run_probe(images, body).await
    }

    /// Removes the containers of an interrupted run.
    pub(in crate::engine) async fn forget_run(&self, run: &str) -> Result<()> {
        // what was on its way when we stopped asking would appear only later
        until_made().await;
        for _round in 0..3 {
            let left = self.own_containers(&[&format!("{RUN}={run}")]).await?;
            if left.is_empty() {
                break;
            }
            for one in left {
                self.remove(&one.id).await?;
                // another may be at it (its engine, or who ran it), which takes a moment
                self.until_removed(&one.id).await;
            }
        }
        Ok(())
    }
}

fn body(source: &Source, container: &str, run: &str, questions: &[String]) -> ContainerCreateBody {
    let (image, program, mounts) = program_of(source);
    let mut words = vec!["connect".to_owned()];
    words.extend_from_slice(questions);
    ContainerCreateBody {
        image: Some(image),
        entrypoint: Some(vec![program]),
        cmd: Some(words),
        // nobody: to connect takes no power
        user: Some("65534:65534".into()),
        labels: Some(
            [
                (ROLE.to_owned(), LOOK.to_owned()),
                (RUN.to_owned(), run.to_owned()),
            ]
            .into(),
        ),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        host_config: Some(HostConfig {
            network_mode: Some(format!("container:{container}")),
            memory: Some(64 << 20),
            // a thread for each connection that is tried at once
            pids_limit: Some(96),
            ..passing(mounts)
        }),
        ..plain()
    }
}
