//! The containers of a containerd node: CRI's lists, containerd's records and tasks, and a status for
//! each container whose state has changed since it was last asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::Containerd;
use super::facts::{Answers, facts};
use super::messages::{
    Container as Record, ListContainersRequest, ListContainersResponse, ListTasksRequest,
    ListTasksResponse,
};
use crate::engine::cri::messages::{Container, ContainerStatus};
use crate::error::Result;
use crate::pod::ContainerFacts;

/// The number of questions that are on their way at once over the one connection.
const IN_FLIGHT: usize = 64;

impl Containerd {
    /// Lists the node's containers.
    ///
    /// # Errors
    /// When the runtime does not answer.
    pub(in crate::engine) async fn listing(&self) -> Result<Listing> {
        let answers = self.answers().await?;
        Ok(Listing {
            containerd: self.clone(),
            answers,
        })
    }

    /// Everything but the statuses.
    async fn answers(&self) -> Result<Answers> {
        let tasks = async {
            let question = ListTasksRequest::default();
            let path = "/containerd.services.tasks.v1.Tasks/List";
            let answer: ListTasksResponse = self.grpc.ask(path, question).await?;
            Ok(answer.tasks)
        };
        let (sandboxes, containers, records, tasks) = futures_util::try_join!(
            self.cri.sandboxes(),
            self.cri.containers(),
            self.records(),
            tasks
        )?;
        Ok(Answers {
            sandboxes,
            containers,
            records: records
                .into_iter()
                .map(|one| (one.id.clone(), one))
                .collect(),
            tasks: tasks.into_iter().map(|one| (one.id.clone(), one)).collect(),
            statuses: BTreeMap::new(),
        })
    }

    /// containerd's records of all containers, CRI's and others'.
    pub(super) async fn records(&self) -> Result<Vec<Record>> {
        let question = ListContainersRequest::default();
        let path = "/containerd.services.containers.v1.Containers/List";
        let answer: ListContainersResponse = self.grpc.ask(path, question).await?;
        Ok(answer.containers)
    }

    /// The statuses of these containers, where none is known that still holds.
    async fn statuses(
        &self,
        containers: &[Container],
        known: &BTreeMap<String, ContainerStatus>,
    ) -> Result<BTreeMap<String, ContainerStatus>> {
        let holds = |one: &&Container| known.get(&one.id).is_some_and(|old| old.state == one.state);
        let kept = containers.iter().filter(holds);
        let kept = kept.filter_map(|one| Some((one.id.clone(), known.get(&one.id)?.clone())));
        let mut statuses: BTreeMap<String, ContainerStatus> = kept.collect();
        let asked = containers.iter().filter(|one| !holds(one));
        let asked: Vec<_> = asked.map(|one| self.cri.status(&one.id)).collect();
        let mut answers = stream::iter(asked).buffered(IN_FLIGHT);
        while let Some(status) = answers.try_next().await? {
            statuses.extend(status.map(|status| (status.id.clone(), status)));
        }
        Ok(statuses)
    }
}

/// The containers of a node as they were listed.
pub(crate) struct Listing {
    containerd: Containerd,
    answers: Answers,
}

impl Listing {
    /// Asks for the status of each container.
    ///
    /// # Errors
    /// When the runtime does not answer.
    pub(in crate::engine) async fn inspected(self) -> Result<Containers> {
        let mut containers = Containers {
            containerd: self.containerd,
            statuses: BTreeMap::new(),
            facts: Arc::default(),
        };
        containers.take(self.answers).await?;
        Ok(containers)
    }
}

/// The containers of a node as they were last seen, newest first.
pub(crate) struct Containers {
    containerd: Containerd,
    statuses: BTreeMap<String, ContainerStatus>,
    pub(in crate::engine) facts: Arc<Vec<ContainerFacts>>,
}

impl Containers {
    /// Looks again at all of them.
    ///
    /// # Errors
    /// When the runtime does not answer.
    pub(in crate::engine) async fn refresh(&mut self) -> Result<()> {
        let answers = self.containerd.answers().await?;
        self.take(answers).await
    }

    async fn take(&mut self, mut answers: Answers) -> Result<()> {
        let known = std::mem::take(&mut self.statuses);
        let statuses = self.containerd.statuses(&answers.containers, &known);
        answers.statuses = statuses.await?;
        let facts = facts(&answers);
        // what is as it was stays shared
        if *self.facts != facts {
            self.facts = Arc::new(facts);
        }
        self.statuses = answers.statuses;
        Ok(())
    }
}
