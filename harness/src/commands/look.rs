//! `top` and `ls`: what runs, seen from nearer and from further away.

use super::act::existing;
use crate::cli::{Format, Global, Ls, Named};
use crate::exit::{Exit, Result, Stop};
use crate::project::runtimes;
use crate::terminal::{Terminal, result, table};
use jackdaw_runtime::model::State;
use jackdaw_runtime::runtime::Listed;
use serde_json::json;

/// `top`: one table, as Docker Compose has it.
pub async fn top(global: &Global, named: Named, terminal: Terminal) -> Result {
    let it = existing(global, &named.services, &terminal).await?;
    let (mut headings, mut rows) = (Vec::new(), Vec::new());
    for instance in it.observed.instances.iter().filter(|instance| {
        let is_asked = named.services.is_empty() || named.services.contains(&instance.service);
        is_asked && matches!(instance.state, State::Running | State::Paused)
    }) {
        let (titles, processes) = it.runtime.top(instance).await?;
        if headings.is_empty() {
            headings = [vec!["SERVICE".to_owned(), "#".to_owned()], titles].concat();
        }
        rows.extend(
            processes.into_iter().map(|row| [vec![instance.service.clone(), "1".into()], row].concat()),
        );
    }
    if !headings.is_empty() {
        result(&table(&headings.iter().map(String::as_str).collect::<Vec<_>>(), &rows));
    }
    Ok(Exit::Done)
}

/// `exited(1), running(2)`.
fn status(listed: &Listed) -> String {
    let mut states = listed.states.clone();
    states.sort();
    let groups = states.chunk_by(|one, other| one == other);
    groups.map(|group| format!("{}({})", group[0], group.len())).collect::<Vec<_>>().join(", ")
}

/// `ls`, on every runtime that answers, or on the one that is asked for.
pub async fn ls(global: &Global, ls: Ls) -> Result {
    let mut names = Vec::new();
    for filter in &ls.filter {
        match filter.split_once('=') {
            Some(("name", name)) => names.push(name.to_owned()),
            _ => return Err(Stop::bad_input(format!("--filter takes name=TEXT, not `{filter}`"))),
        }
    }
    let mut found = Vec::new();
    for runtime in runtimes(global).await? {
        found.extend(runtime.projects().await?);
    }
    found.retain(|listed| {
        let is_shown = ls.all || listed.states.iter().any(|state| state == State::Running.word());
        is_shown && !listed.states.is_empty() && names.iter().all(|name| listed.name.contains(name))
    });
    found.sort_by(|one, other| one.name.cmp(&other.name));
    let cells = |listed: &Listed| vec![listed.name.clone(), status(listed), listed.config_files.clone()];
    match (ls.quiet, ls.format) {
        (true, _) => found.iter().for_each(|listed| result(&listed.name)),
        (false, Format::Table) => {
            result(&table(&["NAME", "STATUS", "CONFIG FILES"], &found.iter().map(cells).collect::<Vec<_>>()));
        }
        (false, Format::Json) => {
            let document = |listed: &Listed| json!({ "Name": listed.name, "Status": status(listed), "ConfigFiles": listed.config_files });
            result(&json!(found.iter().map(document).collect::<Vec<_>>()).to_string());
        }
    }
    Ok(Exit::Done)
}
