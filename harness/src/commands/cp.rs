//! `cp`: files between a service's container and this machine, as `docker cp` names them.

use super::act::{Existing, existing};
use crate::cli::{Cp, Global};
use crate::exit::{Exit, Result, Stop};
use crate::terminal::Terminal;
use jackdaw_runtime::archive::{pack, unpack};
use jackdaw_runtime::model::Instance;
use std::path::Path;

/// `SERVICE:PATH`; a path of this machine has no colon, or a slash before it.
fn in_service(word: &str) -> Option<(&str, &str)> {
    word.split_once(':')
        .filter(|(service, _)| !service.is_empty() && !service.contains('/') && *service != ".")
}

/// `cp`
pub async fn run(global: &Global, cp: Cp, terminal: Terminal) -> Result {
    let stream = |word: &str| word == "-";
    match (in_service(&cp.source), in_service(&cp.target)) {
        _ if stream(&cp.source) || stream(&cp.target) => {
            Err(Stop::bad_input("cp carries files, and no archive over standard input or output"))
        }
        (Some((service, path)), None) => {
            let it = existing(global, &[service.to_owned()], &terminal).await?;
            bring(&it, instance(&it, service)?, path, Path::new(&cp.target)).await
        }
        (None, Some((service, path))) => {
            let it = existing(global, &[service.to_owned()], &terminal).await?;
            send(&it, instance(&it, service)?, Path::new(&cp.source), path).await
        }
        (Some(_), Some(_)) => Err(Stop::bad_input("cp does not copy between services")),
        (None, None) => Err(Stop::bad_input("one of the two has to be SERVICE:PATH")),
    }
}

fn instance<'a>(it: &'a Existing, service: &str) -> Result<&'a Instance> {
    let none = || Stop::failed(format!("no container found for service \"{service}\""));
    it.observed.of(service).ok_or_else(none)
}

/// Out of the container: into a folder that is there, or under another name.
async fn bring(it: &Existing, from: &Instance, path: &str, to: &Path) -> Result {
    let (path, is_content) = match path.strip_suffix("/.") {
        Some(folder) => (folder, true),
        None => (path, false),
    };
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
    let archive = it.runtime.copy_out(&it.name, from, path).await?;
    let io = |error: std::io::Error| Stop::failed(format!("{}: {error}", to.display()));
    match (to.is_dir(), is_content) {
        (true, true) => unpack(&archive, to, None).map_err(io)?,
        (true, false) => unpack(&archive, to, Some(&name)).map_err(io)?,
        (false, _) => {
            let folder =
                to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let wrong = || Stop::bad_input(format!("{} is no folder to copy into", folder.display()));
            let name = to.file_name().filter(|_| folder.is_dir()).ok_or_else(wrong)?;
            unpack(&archive, folder, Some(&name.to_string_lossy())).map_err(io)?;
        }
    }
    Ok(Exit::Done)
}

/// Into the container.
async fn send(it: &Existing, to: &Instance, from: &Path, path: &str) -> Result {
    let io = |error: std::io::Error| Stop::bad_input(format!("{}: {error}", from.display()));
    let absolute = std::path::absolute(from).map_err(io)?;
    let name = absolute.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (folder, name) = match it.runtime.is_folder(&it.name, to, path).await? {
        true => (path.to_owned(), name),
        false if path.ends_with('/') => return Err(Stop::bad_input(format!("{path} is no folder there"))),
        false => {
            let (folder, name) = path.rsplit_once('/').unwrap_or(("/", path));
            (if folder.is_empty() { "/".to_owned() } else { folder.to_owned() }, name.to_owned())
        }
    };
    let archive = pack(from, &name).map_err(io)?;
    it.runtime.copy_in(&it.name, to, &folder, archive).await?;
    Ok(Exit::Done)
}
