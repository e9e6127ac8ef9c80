//! `config` and `explain`: what is understood, without touching anything.

use crate::cli::{Config, ConfigFormat, Global};
use crate::exit::{Exit, Result, Stop};
use crate::project::{Nodes, kind, loaded, loaded_text};
use crate::terminal::{Terminal, result};
use jackdaw_compose::{Code, Project, to_config_json, to_config_yaml};
use jackdaw_conventions::Cluster;
use jackdaw_runtime::lower::lower;
use std::collections::BTreeSet;

/// `config`. It shows the file, and is no start: what is wrong with Kafka in it is said, and kept from being printed by
/// nothing. With `-q`, where only the judgement is asked for, that is the exit code.
pub async fn run(global: &Global, wanted: &Config, terminal: &Terminal) -> Result {
    if wanted.no_interpolate {
        return Err(Stop::bad_input(
            "--no-interpolate is not built: `config` shows the file with its variables filled in, \
             `config --environment` lists those, and the file itself has them as they are written",
        ));
    }
    if wanted.quiet {
        tell_unheeded(global, &loaded(global, Nodes::Start, terminal)?, terminal).await?;
        return Ok(Exit::Done);
    }
    // What is only a list of the file's has nothing to do with Kafka.
    let is_list =
        wanted.services || wanted.volumes || wanted.images || wanted.networks || wanted.list_profiles;
    let is_list = is_list || wanted.hash.is_some() || wanted.environment;
    let file = loaded_text(global, terminal, !is_list)?;
    if !is_list {
        tell_unheeded(global, &file, terminal).await?;
    }
    let text = text(global, &file.project, wanted)?;
    match &wanted.output {
        Some(path) => std::fs::write(path, format!("{text}\n"))
            .map_err(|error| Stop::failed(format!("{}: {error}", path.display())))?,
        None if text.is_empty() => {}
        None => result(&text),
    }
    Ok(Exit::Done)
}

async fn tell_unheeded(global: &Global, file: &crate::project::Loaded, terminal: &Terminal) -> Result<()> {
    let kind = kind(global, &file.project.name).await?;
    file.tell_unheeded(kind, &file.running_on(kind, &file.spec_of_existing()), terminal);
    Ok(())
}

fn text(global: &Global, project: &Project, wanted: &Config) -> Result<String> {
    let keys = |section: &str| {
        let section = project.canonical.get(section).and_then(|section| section.as_object());
        section.into_iter().flat_map(|section| section.keys().cloned()).collect::<Vec<_>>()
    };
    let lines = if wanted.services {
        project.services.iter().map(|service| service.name.value.clone()).collect()
    } else if wanted.volumes {
        keys("volumes")
    } else if wanted.networks {
        keys("networks")
    } else if wanted.images {
        let built = |service: &jackdaw_compose::Service| format!("{}-{}", *project.name, service.name.value);
        let image = |service: &jackdaw_compose::Service| {
            service.image.as_ref().map_or_else(|| built(service), |image| image.value.clone())
        };
        project.services.iter().map(image).collect()
    } else if wanted.list_profiles {
        let all = project.services.iter().flat_map(|service| &service.profiles);
        all.map(|profile| profile.value.clone()).collect::<BTreeSet<_>>().into_iter().collect()
    } else if let Some(names) = &wanted.hash {
        hashes(project, names)?
    } else if wanted.environment {
        let mut set: Vec<String> = crate::project::variables(global)?
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        set.push(format!("COMPOSE_PROJECT_NAME={}", *project.name));
        set.sort();
        set.dedup_by(|a, b| a.split('=').next() == b.split('=').next());
        set
    } else {
        let text = match wanted.format {
            ConfigFormat::Yaml => to_config_yaml(project),
            ConfigFormat::Json => to_config_json(project),
        };
        return Ok(text.trim_end().to_owned());
    };
    Ok(lines.join("\n"))
}

/// Digests of the services as the file has them: no program and no node has a part in them.
fn hashes(project: &Project, names: &str) -> Result<Vec<String>> {
    let nothing =
        Cluster { nodes: Vec::new(), quorums: Vec::new(), diagnostics: Vec::new(), unneeded: Vec::new() };
    let spec = lower(project, &nothing, "").0;
    let asked: Vec<&str> = names.split(',').map(str::trim).collect();
    if let Some(unknown) = asked.iter().find(|name| **name != "*" && project.service(name).is_none()) {
        return Err(Stop::bad_input(format!("no such service: {unknown}")));
    }
    let is_asked = |name: &str| asked.iter().any(|asked| *asked == "*" || *asked == name);
    let services = spec.services.iter().filter(|service| is_asked(&service.name));
    Ok(services.map(|service| format!("{} {}", service.name, service.hash)).collect())
}

/// `explain [CODE]`
pub fn explain(code: Option<&str>) -> Result {
    match code {
        Some(code) => {
            let code: Code = code.parse().map_err(|error| Stop::bad_input(format!("{error}")))?;
            result(jackdaw_compose::explain(code).trim_end());
        }
        None => Code::ALL.iter().for_each(|code| result(&format!("{code}  {}", code.title()))),
    }
    Ok(Exit::Done)
}
