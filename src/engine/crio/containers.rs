//! The containers of a cri-o node: CRI's lists, and what it tells of each whose state has changed
//! since it was last asked for.

use std::sync::Arc;

use super::CriO;
use super::facts::{Answers, ContainerDetail, SandboxDetail, facts};
use crate::engine::cri::Lists;
use crate::engine::cri::statuses::{Statuses, renewed};
use crate::error::Result;
use crate::pod::ContainerFacts;

impl CriO {
    /// Lists the node's containers.
    ///
    /// # Errors
    /// When the runtime does not answer.
    pub(in crate::engine) async fn listing(&self) -> Result<Listing> {
        Ok(Listing {
            lists: self.node.cri.lists().await?,
            crio: self.clone(),
        })
    }
}

/// The containers of a node as they were listed.
pub(crate) struct Listing {
    crio: CriO,
    lists: Lists,
}

impl Listing {
    /// Asks for what there is to tell of each.
    ///
    /// # Errors
    /// When the runtime does not answer.
    pub(in crate::engine) async fn inspected(self) -> Result<Containers> {
        let mut containers = Containers {
            crio: self.crio,
            sandboxes: Statuses::new(),
            statuses: Statuses::new(),
            facts: Arc::default(),
        };
        containers.take(self.lists).await?;
        Ok(containers)
    }
}

/// The containers of a node as they were last seen, newest first.
pub(crate) struct Containers {
    crio: CriO,
    sandboxes: Statuses<Arc<SandboxDetail>>,
    statuses: Statuses<Arc<ContainerDetail>>,
    pub(in crate::engine) facts: Arc<Vec<ContainerFacts>>,
}

impl Containers {
    /// Looks again at all of them.
    ///
    /// # Errors
    /// When the runtime does not answer.
    pub(in crate::engine) async fn refresh(&mut self) -> Result<()> {
        let lists = self.crio.node.cri.lists().await?;
        self.take(lists).await
    }

    async fn take(&mut self, lists: Lists) -> Result<()> {
        let cri = &self.crio.node.cri;
        let sandboxes = lists
            .sandboxes
            .iter()
            .map(|one| (one.id.clone(), one.state));
        let sandboxes = renewed(std::mem::take(&mut self.sandboxes), sandboxes, async |id| {
            let told = cri.sandbox_status(&id).await?;
            Ok(told.map(|told| Arc::new(SandboxDetail::from(told))))
        });
        let containers = lists.containers.iter();
        let containers = containers.map(|one| (one.id.clone(), one.state));
        let containers = renewed(std::mem::take(&mut self.statuses), containers, async |id| {
            let told = cri.container_status(&id, true).await?;
            Ok(told.map(|told| Arc::new(ContainerDetail::from(told))))
        });
        (self.sandboxes, self.statuses) = futures_util::try_join!(sandboxes, containers)?;
        let facts = facts(&Answers {
            of_sandboxes: told(&self.sandboxes),
            of_containers: told(&self.statuses),
            sandboxes: lists.sandboxes,
            containers: lists.containers,
        });
        // what is as it was stays shared
        if *self.facts != facts {
            self.facts = Arc::new(facts);
        }
        Ok(())
    }
}

/// The details without the states.
fn told<S>(statuses: &Statuses<Arc<S>>) -> std::collections::BTreeMap<String, Arc<S>> {
    let all = statuses.iter();
    all.map(|(id, (_, told))| (id.clone(), Arc::clone(told)))
        .collect()
}
