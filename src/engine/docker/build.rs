//! The builder in the engine beside BuildKit: the classic one.

use bollard::BollardRequest;
use bollard::errors::Error as Why;
use bollard::query_parameters as query;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};

use crate::engine::build_features::BuildFeatures;
use crate::engine::buildkit::streams::{self, Pump};
use crate::engine::buildkit::{Built, Failure};
use crate::engine::docker::{Docker, LONG};
use crate::error::{Error, Result};
use crate::image::build::Options;
use crate::image::reference;
use crate::progress::{Event, Log, Sender, Update, Vertex};

impl Docker {
    /// The features of the BuildKit in it.
    pub(in crate::engine) fn build_features(&self) -> BuildFeatures {
        BuildFeatures::of_docker(self.greeting().major())
    }

    /// True where BuildKit was turned off in the engine's configuration (`features.buildkit` in its
    /// `daemon.json`): it is there all the same, and clients are asked not to use it.
    pub(in crate::engine) fn buildkit_is_off(&self) -> bool {
        // up to 22, engines say so where nobody asked for BuildKit
        let major = self.greeting().major();
        major.is_none_or(|major| major >= 23) && self.greeting().builder.as_deref() == Some("1")
    }
}

/// Images whose layers may be taken.
fn cache_from(options: &Options) -> Option<Vec<String>> {
    let images: Vec<String> = options
        .cache_from
        .iter()
        .filter_map(|cache| cache.attributes.get("ref").cloned())
        .collect();
    (!images.is_empty()).then_some(images)
}

/// A value as it stands in a query.
fn escaped(value: &str) -> String {
    value
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

impl Docker {
    /// The client for work, with query parameters for which it has no fields, or too small ones.
    fn with_query(&self, more: &[(&str, String)]) -> Result<bollard::Docker> {
        if more.is_empty() {
            return Ok(self.api.clone());
        }
        let door = self.door.clone();
        let more: Vec<String> = more
            .iter()
            .map(|(name, value)| format!("{name}={}", escaped(value)))
            .collect();
        let more = more.join("&");
        let ask = move |mut request: BollardRequest| {
            let (door, more) = (door.clone(), more.clone());
            async move {
                let uri = request.uri();
                let separator = if uri.query().is_some() { '&' } else { '?' };
                *request.uri_mut() = format!("{uri}{separator}{more}").parse()?;
                door.ask(request).await
            }
        };
        bollard::Docker::connect_with_custom_transport(
            ask,
            Some("http://engine"),
            LONG.as_secs(),
            &self.api.client_version(),
        )
        .map_err(|error| Error::failed("the API client could not be made").caused_by(error))
    }

    /// Builds with the classic builder, from an archive that `context` writes.
    ///
    /// # Errors
    /// The build failed, or the engine was lost.
    pub(in crate::engine) async fn build_classic(
        &self,
        options: &Options,
        context: Pump,
        events: &Sender,
    ) -> std::result::Result<Built, Failure> {
        let (received, writing) = streams::pumped(context);
        let body = bollard::body_try_stream(received.map_ok(Bytes::from));
        let pairs = |map: &std::collections::BTreeMap<String, String>| {
            Some(map.clone().into_iter().collect())
        };
        let hosts = options
            .hosts
            .iter()
            .map(|(name, address)| format!("{name}:{address}"));
        let hosts: Vec<String> = hosts.collect();
        // podman reads a list of words where Docker reads them with commas between
        let in_words = self.greeting().is_podman;
        let extrahosts = if in_words {
            serde_json::Value::from(hosts.clone()).to_string()
        } else {
            hosts.join(",")
        };
        let query = query::BuildImageOptions {
            dockerfile: options.filename.clone(),
            t: options.tags.first().cloned(),
            extrahosts: (!hosts.is_empty()).then_some(extrahosts),
            nocache: options.no_cache,
            cachefrom: cache_from(options),
            pull: options.pull.then(|| "true".to_owned()),
            // `true` also where docker would keep what a failed step leaves
            rm: !options.limits.keep_containers,
            forcerm: !options.limits.keep_containers,
            buildargs: pairs(&options.build_args),
            labels: pairs(&options.labels),
            networkmode: options.network.clone(),
            platform: options.platforms.first().cloned().unwrap_or_default(),
            target: options.target.clone().unwrap_or_default(),
            ..Default::default()
        };
        let mut steps = Steps::default();
        let api = self.with_query(&options.classic_query(in_words))?;
        let mut lines = api.build_image(query, None, Some(body));
        let outcome = loop {
            match lines.next().await {
                None => break Ok(()),
                Some(Err(error)) => break Err(error),
                Some(Ok(line)) => {
                    if let Some(text) = line.stream.or(line.status) {
                        let _nobody_reads = events.send(Event::Build(steps.take(&text)));
                    }
                }
            }
        };
        drop(lines);
        // what kept us from sending says more than the engine that waited
        if let Ok(Err(error)) = writing.await
            && outcome.is_err()
        {
            return Err(error.into());
        }
        let error = outcome.as_ref().err().map(|error| match error {
            Why::DockerStreamError { error } => error.clone(),
            other => other.to_string(),
        });
        let _nobody_reads = events.send(Event::Build(steps.end(error.as_deref())));
        if let Err(error) = outcome {
            return Err(Failure::from(match error {
                Why::DockerStreamError { error } => {
                    Error::failed("the build failed").caused_by(error)
                }
                other => self.failed("the build", other),
            }));
        }
        let short = steps
            .image
            .ok_or_else(|| Error::failed("the engine built no image"))?;
        let image = self
            .api
            .inspect_image(&short)
            .await
            .map_err(|error| self.failed("the image that was built", error))?;
        let id = image.id.unwrap_or(short);
        for name in options.tags.iter().skip(1) {
            let (repository, tag) = reference::split(name)?;
            self.tag(&id, &repository, &tag).await?;
        }
        Ok(Built {
            response: [("containerimage.digest".to_owned(), id)].into(),
            ..Built::default()
        })
    }
}

/// The classic builder's lines as steps.
#[derive(Default)]
struct Steps {
    step: Option<Vertex>,
    /// The image's short ID, once it is said.
    image: Option<String>,
}

impl Steps {
    fn take(&mut self, text: &str) -> Update {
        let now = Some(jiff::Timestamp::now());
        let mut update = Update::default();
        if let Some(id) = text.strip_prefix("Successfully built ") {
            self.image = Some(id.trim().to_owned());
            return update;
        }
        if text.starts_with("Step ") || text.starts_with("STEP ") || self.step.is_none() {
            let name = text.trim().to_owned();
            if let Some(mut last) = self.step.take() {
                last.completed = now;
                update.vertexes.push(last);
            }
            let step = Vertex {
                digest: name.clone(),
                name,
                started: now,
                ..Vertex::default()
            };
            update.vertexes.push(step.clone());
            self.step = Some(step);
        } else if let Some(step) = &self.step {
            update.logs.push(Log {
                vertex: step.digest.clone(),
                stream: 1,
                data: text.into(),
                timestamp: now,
            });
        }
        update
    }

    fn end(&mut self, error: Option<&str>) -> Update {
        let last = self.step.take().map(|mut step| {
            step.completed = Some(jiff::Timestamp::now());
            error.unwrap_or_default().clone_into(&mut step.error);
            step
        });
        Update {
            vertexes: last.into_iter().collect(),
            ..Update::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_do_podmans() {
        let mut steps = Steps::default();
        assert_eq!(steps.take("STEP 1/2: FROM x\n").vertexes.len(), 1);
        assert_eq!(steps.take("--> Using cache abc\n").logs.len(), 1);
        assert_eq!(steps.take("STEP 2/2: RUN y\n").vertexes.len(), 2);
        steps.take("Successfully built 0123abc\n");
        assert_eq!(steps.image.as_deref(), Some("0123abc"));
    }

    #[test]
    fn the_classic_builders_lines_become_steps() {
        let mut steps = Steps::default();
        assert_eq!(steps.take("Step 1/2 : FROM x\n").vertexes.len(), 1);
        assert_eq!(steps.take(" ---> abc\n").logs.len(), 1);
        let next = steps.take("Step 2/2 : RUN y\n").vertexes;
        assert!(next[0].completed.is_some() && next[1].completed.is_none());
        steps.take("Successfully built 0123abc\n");
        assert_eq!(steps.image.as_deref(), Some("0123abc"));
        assert_eq!(steps.end(Some("no")).vertexes[0].error, "no");
    }
}
