//! `devnet build --watch`: pods that run the image get the new one, in the sandbox they have.

use std::collections::BTreeSet;

use crate::commands::invocation::Context;
use crate::commands::invocation::older_images::OlderImages;
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::lab_engine::replace;
use crate::pod::{self, Origin, PlainContainers, Pull, Signal, Stale, State};

/// The images that the names stood for as long as the watch goes on, and what was done about them.
#[derive(Debug, Default)]
pub(super) struct Restarts {
    pub(super) older: OlderImages,
    /// Containers that were killed, by node, pod and name: the kubelet does not like to see it often.
    killed: BTreeSet<(String, String, String)>,
}

impl Restarts {
    /// Has every pod of a node that runs an older image of these names start the new one.
    pub(super) async fn restart(
        &mut self,
        node: &str,
        engine: &Engine,
        names: &[String],
        context: &Context,
    ) -> Result<()> {
        let facts = engine.runtime.containers().await?;
        let mut pods = pod::pods(node, &facts, PlainContainers::Hide);
        let mut done = BTreeSet::new();
        for name in names {
            let Some(image) = self.older.renamed((node, engine), name).await? else {
                continue;
            };
            if pod::stale(&pods, &image).is_empty() {
                continue;
            }
            // an address makes the pod known; the engine does not know that of a plugin's network
            engine.runtime.ips_from_hosts_files(&mut pods, &facts).await;
            for stale in pod::stale(&pods, &image) {
                if done.insert(stale.container.id.clone()) {
                    let killing = Box::pin(self.one(node, engine, &stale, name, context));
                    if let Err(error) = Box::pin(context.to_its_end(killing)).await {
                        if error.kind() == Kind::Interrupted {
                            return Err(error);
                        }
                        context.ui.error(&error);
                    }
                }
            }
        }
        Ok(())
    }

    async fn one(
        &mut self,
        node: &str,
        engine: &Engine,
        stale: &Stale<'_>,
        image: &str,
        context: &Context,
    ) -> Result<()> {
        let Stale {
            pod,
            container,
            pull,
        } = stale;
        let who = format!(
            "container {} of pod/{}/{}",
            container.name, pod.namespace, pod.name
        );
        let at = pod
            .ips
            .first()
            .map_or_else(String::new, |ip| format!(" at {ip}"));
        if pod.origin == Origin::Lab {
            let attempt = replace::renew_container(engine, &pod.uid, &container.name).await?;
            context.ui.say(&format!(
                "{who}: attempt {attempt} runs `{image}` in the same sandbox{at}, on {node}"
            ));
            return Ok(());
        }
        if container.state == State::Paused
            && let Ok(docker) = engine.docker()
        {
            // older engines send no signal to what is frozen
            docker.unpause(&container.id).await?;
        }
        match engine.runtime.signal(&container.id, Signal::KILL).await {
            // it ended by itself meanwhile: the kubelet starts the new image all the same
            Err(error) if error.kind() == Kind::NotFound => {}
            outcome => outcome.map_err(|error| {
                Error::failed(format!("{who} on {node} could not be killed")).caused_by(error)
            })?,
        }
        context.ui.say(&format!(
            "{who} was killed on {node}: the kubelet starts `{image}` in the same sandbox{at}"
        ));
        match pull {
            Pull::Always => context.ui.hint(&format!(
                "pod/{}/{} has `imagePullPolicy: Always`: the kubelet asks a registry for `{image}`, and does not start what was built here; set `IfNotPresent`, or use a tag other than `latest`",
                pod.namespace, pod.name
            )),
            Pull::Perhaps => context.ui.hint(&format!(
                "for `:latest` the kubelet asks a registry, unless `imagePullPolicy` says otherwise: if pod/{}/{} does not come back, set `IfNotPresent`, or build under another tag",
                pod.namespace, pod.name
            )),
            Pull::No => {}
        }
        let key = (node.to_owned(), pod.uid.clone(), container.name.clone());
        if !self.killed.insert(key) {
            context.ui.hint(
                "the kubelet waits longer before each restart (10 s, 20 s, ... 5 min) until a container has run for 10 minutes",
            );
        }
        Ok(())
    }
}
