//! `config` and `explain`: what is understood, without touching anything.

use crate::cli::{Config, ConfigFormat, Global};
use crate::exit::{Exit, Result, Stop};
use crate::project::{kind, loaded};
use crate::terminal::{Terminal, result};
use jackdaw_compose::{Code, to_config_json, to_config_yaml};

/// `config`
pub async fn run(global: &Global, wanted: &Config, terminal: &Terminal) -> Result {
    let file = loaded(global, terminal)?;
    let kind = kind(global, &file.project.name).await?;
    file.tell_unheeded(kind, &file.running_on(kind, &file.spec_of_existing()), terminal);
    let project = file.project;
    if wanted.quiet {
        return Ok(Exit::Done);
    }
    if wanted.services {
        project.services.iter().for_each(|service| result(&service.name));
    } else if wanted.volumes {
        project.volumes.iter().for_each(|volume| result(&volume.key));
    } else if wanted.images {
        project.services.iter().filter_map(|service| service.image.as_ref()).for_each(|image| result(image));
    } else {
        let text = match wanted.format {
            ConfigFormat::Yaml => to_config_yaml(&project),
            ConfigFormat::Json => to_config_json(&project),
        };
        result(text.trim_end());
    }
    Ok(Exit::Done)
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
