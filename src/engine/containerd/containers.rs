//! The containers of a containerd node: CRI's lists, containerd's records and tasks, and a status for
//! each container whose state has changed since it was last asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::Containerd;
use super::facts::{Answers, facts, outline};
use super::messages::{
    Container as Record, GetContainerRequest, GetContainerResponse, GetTaskResponse,
    ListContainersRequest, ListContainersResponse, ListTasksRequest, ListTasksResponse, Process,
    ProcessRequest,
};
use super::notes::Description;
use crate::engine::cri::Lists;
use crate::engine::cri::messages::{Container, ContainerState, ContainerStatus};
use crate::engine::grpc::found;
use crate::error::Result;
use crate::pod::ContainerFacts;

/// The number of questions that are on their way at once over the one connection.
const IN_FLIGHT: usize = 64;

impl Containerd {
    /// Everything about all containers.
    ///
    /// # Errors
    /// When the runtime does not answer.
    pub(in crate::engine) async fn inspected(&self) -> Result<Containers> {
        let mut containers = Containers {
            containerd: self.clone(),
            answers: Answers::default(),
            facts: Arc::default(),
        };
        containers.check().await?;
        Ok(containers)
    }

    /// The containers as far as CRI lists them.
    ///
    /// # Errors
    /// When the runtime does not answer.
    pub(in crate::engine) async fn outline(&self) -> Result<Outline> {
        let lists = self.cri().lists().await?;
        Ok(Outline {
            containerd: self.clone(),
            facts: outline(&lists),
            lists,
        })
    }

    /// containerd's records of all containers, CRI's and others'.
    pub(super) async fn records(&self) -> Result<Vec<Record>> {
        let question = ListContainersRequest::default();
        let path = "/containerd.services.containers.v1.Containers/List";
        let answer: ListContainersResponse = self.grpc.ask(path, question).await?;
        Ok(answer.containers)
    }

    /// A container's record; `None` where it is gone.
    pub(super) async fn record(&self, container: &str) -> Result<Option<Record>> {
        let question = GetContainerRequest {
            id: container.to_owned(),
        };
        let path = "/containerd.services.containers.v1.Containers/Get";
        let answer: Option<GetContainerResponse> = found(self.grpc.ask(path, question).await)?;
        Ok(answer.and_then(|answer| answer.container))
    }

    /// The contents of these containers' records; of what is gone, nothing. Each is asked for: a list
    /// of some makes containerd read all.
    async fn descriptions(&self, ids: &BTreeSet<String>) -> Result<Descriptions> {
        let asked: Vec<_> = ids.iter().map(|id| self.record(id)).collect();
        let answers = stream::iter(asked).buffered(IN_FLIGHT);
        let records: Vec<Option<Record>> = answers.try_collect().await?;
        Ok(described(records.into_iter().flatten()))
    }

    /// The first processes of all containers.
    async fn all_tasks(&self) -> Result<Tasks> {
        let question = ListTasksRequest::default();
        let path = "/containerd.services.tasks.v1.Tasks/List";
        let answer: ListTasksResponse = self.grpc.ask(path, question).await?;
        let tasks = answer.tasks.into_iter();
        Ok(tasks.map(|one| (one.id.clone(), one)).collect())
    }

    /// The first process of a container; `None` where it has none any more.
    pub(super) async fn task(&self, container: &str) -> Result<Option<Process>> {
        let question = ProcessRequest {
            container_id: container.to_owned(),
            exec_id: String::new(),
        };
        let path = "/containerd.services.tasks.v1.Tasks/Get";
        let answer: Option<GetTaskResponse> = found(self.grpc.ask(path, question).await)?;
        Ok(answer.and_then(|answer| answer.process))
    }

    /// The first processes of these containers. Each has to be asked for, which costs the runtime more
    /// than a few lists.
    async fn tasks_of(&self, ids: impl IntoIterator<Item = String>) -> Result<Tasks> {
        let asked = ids
            .into_iter()
            .map(|id| async move { Ok::<_, crate::error::Error>((self.task(&id).await?, id)) });
        let mut answers = stream::iter(asked).buffered(IN_FLIGHT);
        let mut tasks = Tasks::new();
        while let Some((task, id)) = answers.try_next().await? {
            tasks.extend(task.map(|task| (id, task)));
        }
        Ok(tasks)
    }

    /// The statuses of these containers, where none is known that still holds.
    async fn statuses(
        &self,
        containers: impl IntoIterator<Item = &Container>,
        known: &Statuses,
    ) -> Result<Statuses> {
        let asked = containers.into_iter().filter(|one| {
            let known = known.get(&one.id);
            known.is_none_or(|known| known.state != one.state)
        });
        let asked: Vec<_> = asked.map(|one| self.cri().status(&one.id)).collect();
        let mut answers = stream::iter(asked).buffered(IN_FLIGHT);
        let mut statuses = Statuses::new();
        while let Some(status) = answers.try_next().await? {
            statuses.extend(status.map(|status| (status.id.clone(), status)));
        }
        Ok(statuses)
    }
}

type Descriptions = BTreeMap<String, Description>;
type Tasks = BTreeMap<String, Process>;
type Statuses = BTreeMap<String, ContainerStatus>;

fn described(records: impl IntoIterator<Item = Record>) -> Descriptions {
    let records = records.into_iter();
    records
        .map(|record| (record.id.clone(), Description::of(record)))
        .collect()
}

/// The containers among these that may have a process: CRI's word for those that ended is enough.
fn with_process(ids: &BTreeSet<String>, lists: &Lists) -> Vec<String> {
    let over = |one: &&Container| one.state() == ContainerState::Exited;
    let over: BTreeSet<&String> = lists
        .containers
        .iter()
        .filter(over)
        .map(|one| &one.id)
        .collect();
    let may = ids.iter().filter(|id| !over.contains(id));
    may.cloned().collect()
}

/// The containers of a node as far as they are listed: enough to find one pod among them.
pub(crate) struct Outline {
    containerd: Containerd,
    lists: Lists,
    pub(in crate::engine) facts: Vec<ContainerFacts>,
}

impl Outline {
    /// Everything about the containers of one pod, newest first.
    ///
    /// # Errors
    /// When the runtime does not answer.
    pub(in crate::engine) async fn of_pod(self, uid: &str) -> Result<Vec<ContainerFacts>> {
        let of_pod: BTreeSet<String> = self
            .facts
            .iter()
            .filter(|facts| facts.member().is_some_and(|member| member.pod.uid == uid))
            .map(|facts| facts.id.clone())
            .collect();
        let with_process = with_process(&of_pod, &self.lists);
        let Lists {
            mut sandboxes,
            mut containers,
        } = self.lists;
        sandboxes.retain(|one| of_pod.contains(&one.id));
        containers.retain(|one| of_pod.contains(&one.id));
        let none = Statuses::new();
        let (records, tasks, statuses) = futures_util::try_join!(
            self.containerd.descriptions(&of_pod),
            self.containerd.tasks_of(with_process),
            self.containerd.statuses(&containers, &none)
        )?;
        Ok(facts(&Answers {
            lists: Lists {
                sandboxes,
                containers,
            },
            records,
            tasks,
            statuses,
        }))
    }
}

/// The containers of a node as they were last seen, newest first.
pub(crate) struct Containers {
    containerd: Containerd,
    answers: Answers,
    pub(in crate::engine) facts: Arc<Vec<ContainerFacts>>,
}

impl Containers {
    /// Looks again at all of them.
    ///
    /// # Errors
    /// When the runtime does not answer.
    pub(in crate::engine) async fn check(&mut self) -> Result<()> {
        let containerd = self.containerd.clone();
        let known = std::mem::take(&mut self.answers.statuses);
        let listed = async {
            let lists = containerd.cri().lists().await?;
            let statuses = containerd.statuses(&lists.containers, &known).await?;
            Ok((lists, statuses))
        };
        let ((lists, statuses), records, tasks) =
            futures_util::try_join!(listed, containerd.records(), containerd.all_tasks())?;
        self.take(Answers {
            statuses: both(known, statuses),
            records: described(records),
            lists,
            tasks,
        });
        Ok(())
    }

    /// Looks again at those of which something was changed, and at new ones.
    ///
    /// # Errors
    /// When the runtime does not answer.
    pub(in crate::engine) async fn refresh(&mut self, changed: &BTreeSet<String>) -> Result<()> {
        let containerd = self.containerd.clone();
        let lists = containerd.cri().lists().await?;
        let answers = std::mem::take(&mut self.answers);
        let sandboxes = lists.sandboxes.iter().map(|one| &one.id);
        let listed = sandboxes.chain(lists.containers.iter().map(|one| &one.id));
        let asked: BTreeSet<String> = listed
            .filter(|id| changed.contains(*id) || !answers.records.contains_key(*id))
            .cloned()
            .collect();
        let (records, tasks, statuses) = futures_util::try_join!(
            containerd.descriptions(&asked),
            containerd.tasks_of(with_process(&asked, &lists)),
            containerd.statuses(&lists.containers, &answers.statuses)
        )?;
        let mut old_tasks = answers.tasks;
        old_tasks.retain(|id, _| !asked.contains(id));
        self.take(Answers {
            lists,
            records: both(answers.records, records),
            tasks: both(old_tasks, tasks),
            statuses: both(answers.statuses, statuses),
        });
        Ok(())
    }

    fn take(&mut self, mut answers: Answers) {
        let sandboxes = answers.lists.sandboxes.iter().map(|one| &one.id);
        let containers = answers.lists.containers.iter().map(|one| &one.id);
        let there: BTreeSet<&String> = sandboxes.chain(containers).collect();
        answers.records.retain(|id, _| there.contains(id));
        answers.tasks.retain(|id, _| there.contains(id));
        answers.statuses.retain(|id, _| there.contains(id));
        let facts = facts(&answers);
        // what is as it was stays shared
        if *self.facts != facts {
            self.facts = Arc::new(facts);
        }
        self.answers = answers;
    }
}

/// Everything that was known, with what is newer in its place.
fn both<T>(mut known: BTreeMap<String, T>, newer: BTreeMap<String, T>) -> BTreeMap<String, T> {
    known.extend(newer);
    known
}
