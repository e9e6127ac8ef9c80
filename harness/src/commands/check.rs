//! `check`: gives the obligations their way to the cluster on either runtime, and prints what they found.

use super::act::{Existing, existing};
use crate::cli::{Check, Format, Global};
use crate::exit::{Exit, Result, Stop};
use crate::terminal::{Terminal, result};
use futures_util::future::BoxFuture;
use jackdaw_check::look::{Look, Seen, look};
use jackdaw_check::{Access, Expected, Options, Report, Vantage, check};
use jackdaw_runtime::model::{Instance, State};
use jackdaw_runtime::plan::{Kind, Plan, Step};
use std::collections::BTreeMap;

struct Cluster {
    it: Existing,
}

/// `check`
pub async fn run(global: &Global, wanted: Check, terminal: Terminal) -> Result {
    let it = existing(global, &[], &terminal).await?;
    let Some(loaded) = &it.loaded else {
        return Err(Stop::bad_input("check holds a cluster to its file: there is none"));
    };
    let clusters = Expected::each(&loaded.project, &as_made(&it, &loaded.project));
    if !it.observed.instances.iter().any(|instance| instance.state == State::Running) {
        return Err(Stop::failed(format!("project {} is not running", it.name)));
    }
    let cluster = Cluster { it };
    let is_table = wanted.format == Format::Table;
    let mut told = |line: &jackdaw_check::Line| {
        if is_table {
            result(&line.to_string());
        }
    };
    let mut report = Report::default();
    for expected in &clusters {
        if clusters.len() > 1 && is_table {
            let names: Vec<&str> = expected.brokers.iter().map(|broker| broker.service.as_str()).collect();
            result(&format!("cluster of {}:", names.join(", ")));
        }
        let options = Options { disruptive: wanted.disruptive };
        report.lines.extend(check(&cluster, expected, options, &mut told).await.lines);
    }
    if is_table {
        let text = report.to_string();
        result(text.trim_end().lines().last().unwrap_or_default());
    } else {
        result(&serde_json::to_string_pretty(&report).map_err(|error| Stop::failed(error.to_string()))?);
    }
    Ok(if report.holds() { Exit::Done } else { Exit::Failed })
}

/// The nodes of the file, where they are advertised now.
fn as_made(it: &Existing, project: &jackdaw_compose::Project) -> jackdaw_conventions::Cluster {
    let mut cluster = jackdaw_conventions::Cluster::of(project);
    for node in &mut cluster.nodes {
        let service = it.spec.as_ref().and_then(|spec| spec.service(&node.service));
        if let Some(made) = service.and_then(|service| service.node.clone()) {
            *node = made;
        }
    }
    cluster
}

impl Cluster {
    async fn step(&self, step: Step) -> std::result::Result<(), String> {
        let kind = self.it.runtime.kind();
        let plan = Plan { project: self.it.name.clone(), runtime: kind, steps: vec![step] };
        let step = &plan.steps[0];
        let done = self.it.runtime.step(&self.it.name, self.it.spec.as_ref(), step).await;
        done.map(drop).map_err(|error| error.to_string())
    }

    fn container(&self, service: &str) -> std::result::Result<String, String> {
        let instance = self.it.observed.of(service).ok_or_else(|| format!("{service} is not there"))?;
        Ok(instance.name.clone())
    }

    /// A node of ours that runs now, other than the one asked about where there is one.
    async fn inside(&self, host: &str) -> std::result::Result<Instance, String> {
        let observed = self.it.runtime.observe(&self.it.name, self.it.spec.as_ref()).await;
        let observed = observed.map_err(|error| error.to_string())?;
        let is_node = |instance: &&Instance| {
            let service = self.it.spec.as_ref().and_then(|spec| spec.service(&instance.service));
            instance.state == State::Running && service.is_some_and(|service| service.node.is_some())
        };
        let quorum = |instance: &Instance| self.it.spec.as_ref()?.service(&instance.service)?.quorum;
        let asked =
            observed.instances.iter().find(|instance| instance.service == host || instance.name == host);
        let is_near = |instance: &&Instance| {
            asked.is_none_or(|asked| quorum(asked).is_none() || quorum(asked) == quorum(instance))
        };
        let running: Vec<&Instance> = observed.instances.iter().filter(is_node).filter(is_near).collect();
        let other = running.iter().find(|instance| instance.service != host && instance.name != host);
        other
            .or(running.first())
            .map(|instance| (*instance).clone())
            .ok_or_else(|| "no node is running".into())
    }

    async fn look_inside(&self, wanted: &Look) -> std::result::Result<Seen, String> {
        let from = self.inside(&wanted.host).await?;
        if self.it.runtime.kind() == Kind::Process {
            let spec = self.it.spec.as_ref().ok_or("there is no file")?;
            let service = spec.service(&from.service).ok_or("the node is not in the file")?;
            return look(wanted, &self.it.runtime.names(spec, service)).await;
        }
        let question = serde_json::to_string(wanted).map_err(|error| error.to_string())?;
        let words = vec!["jackdaw".into(), "probe".into(), question];
        let answer = self.it.runtime.capture(&from, words).await.map_err(|error| error.to_string())?;
        serde_json::from_str(&answer).map_err(|_| answer.trim().to_owned())
    }
}

impl Access for Cluster {
    fn look<'a>(
        &'a self,
        from: Vantage,
        wanted: &'a Look,
    ) -> BoxFuture<'a, std::result::Result<Seen, String>> {
        Box::pin(async move {
            match from {
                Vantage::Host => look(wanted, &BTreeMap::new()).await,
                Vantage::Inside => self.look_inside(wanted).await,
            }
        })
    }

    fn kill<'a>(&'a self, service: &'a str) -> BoxFuture<'a, std::result::Result<(), String>> {
        Box::pin(async move {
            let container = self.container(service)?;
            let signal = "SIGKILL".to_owned();
            self.step(Step::Kill { service: service.to_owned(), container, signal }).await
        })
    }

    fn start<'a>(&'a self, service: &'a str) -> BoxFuture<'a, std::result::Result<(), String>> {
        Box::pin(async move {
            let container = self.container(service)?;
            self.step(Step::Start { service: service.to_owned(), container }).await
        })
    }
}
