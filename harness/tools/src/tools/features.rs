//! `kafka-features.sh`: the features of a cluster and their levels (`org.apache.kafka.tools.FeatureCommand`).

use crate::admin::{ADMIN, Admin, MOVED, Result, To, text};
use crate::argparse::{Arg, Given, Group, Parser, Takes, parse};
use crate::cli::{bootstrap, terse};
use crate::errors::{Exception, check, exception};
use crate::{errln, outln};
use jackdaw_settings::metadata_version::{self, KRAFT, LATEST, MINIMUM_BOOTSTRAP, Version};
use kafka_protocol::messages::update_features_request::FeatureUpdateKey;
use kafka_protocol::messages::{ApiVersionsRequest, UpdateFeaturesRequest};
use std::collections::BTreeMap;

const METADATA: &str = "metadata.version";
const TIMEOUT_MS: i32 = 60_000;
/// `FeatureUpdate.UpgradeType`
const UPGRADE: i8 = 1;
const SAFE_DOWNGRADE: i8 = 2;
const UNSAFE_DOWNGRADE: i8 = 3;

static CONNECTION: Group = Group { title: "", description: "", exclusive: true, required: true };
const DRY_RUN: &[&str] = &["--dry-run"];
const FEATURE: &[&str] = &["--feature"];

static COMMANDS: Parser = Parser {
    description: "This tool manages feature flags in Kafka.",
    args: &[
        Arg::new(
            &["--bootstrap-server"],
            "A comma-separated list of host:port pairs to use for establishing the connection to the Kafka cluster.",
        )
        .group(&CONNECTION),
        Arg::new(
            &["--bootstrap-controller"],
            "A comma-separated list of host:port pairs to use for establishing the connection to the KRaft quorum.",
        )
        .group(&CONNECTION),
        Arg::new(&["--command-config"], "Property file containing configs to be passed to Admin Client."),
    ],
    commands: &[
        Parser { help: "Describes the current active feature flags.", ..Parser::new("describe") },
        Parser {
            help: "Upgrade one or more feature flags.",
            args: &[
                Arg::new(
                    &["--metadata"],
                    "The level to which we should upgrade the metadata. For example, 3.3-IV3.",
                ),
                Arg::new(
                    FEATURE,
                    "A feature upgrade we should perform, in feature=level format. For example: `metadata.version=5`.",
                )
                .takes(Takes::Each),
                Arg::flag(DRY_RUN, "Validate this upgrade, but do not perform it."),
            ],
            ..Parser::new("upgrade")
        },
        Parser {
            help: "Upgrade one or more feature flags.",
            args: &[
                Arg::new(
                    &["--metadata"],
                    "The level to which we should downgrade the metadata. For example, 3.3-IV0.",
                ),
                Arg::new(
                    FEATURE,
                    "A feature downgrade we should perform, in feature=level format. For example: `metadata.version=5`.",
                )
                .takes(Takes::Each),
                Arg::flag(&["--unsafe"], "Perform this downgrade even if it may irreversibly destroy metadata."),
                Arg::flag(DRY_RUN, "Validate this downgrade, but do not perform it."),
            ],
            ..Parser::new("downgrade")
        },
        Parser {
            help: "Disable one or more feature flags. This is the same as downgrading the version to zero.",
            args: &[
                Arg::new(FEATURE, "A feature flag to disable.").takes(Takes::Each),
                Arg::flag(&["--unsafe"], "Disable this feature flag even if it may irreversibly destroy metadata."),
                Arg::flag(DRY_RUN, "Perform a dry-run of this disable operation."),
            ],
            ..Parser::new("disable")
        },
    ],
    ..Parser::new("kafka-features")
};

/// Runs it.
pub fn run(args: &[String]) -> i32 {
    match parse(&COMMANDS, args) {
        Ok(given) => command(&given).map_or_else(
            |exception| {
                errln!("{}", exception.message);
                1
            },
            |()| 0,
        ),
        Err(refusal) => {
            refusal.print();
            1
        }
    }
}

fn command(given: &Given) -> Result<()> {
    let mut admin = Admin::create(ADMIN, &bootstrap(given, "command_config")?)?;
    let command = given.commands[0];
    if command == "describe" {
        return describe(&mut admin);
    }
    let kind = match command {
        "upgrade" => UPGRADE,
        _ if given.is("unsafe") => UNSAFE_DOWNGRADE,
        _ => SAFE_DOWNGRADE,
    };
    let mut updates: BTreeMap<String, i16> = BTreeMap::new();
    if let Some(version) = given.value("metadata") {
        let level = metadata_version::level_of(version).ok_or_else(|| {
            let may_be_asked =
                |version: &&Version| (MINIMUM_BOOTSTRAP..=LATEST.level).contains(&version.level);
            let known: Vec<&str> = KRAFT.iter().filter(may_be_asked).map(|version| version.name).collect();
            terse(format!(
                "Unsupported metadata version {version}. Supported metadata versions are {}",
                known.join(", ")
            ))
        })?;
        updates.insert(METADATA.to_owned(), level);
    }
    for feature in given.values("feature") {
        let (name, level) =
            if command == "disable" { (feature.clone(), 0) } else { name_and_level(feature)? };
        if updates.insert(name.clone(), level).is_some() {
            let message = format!("Feature {name} was specified more than once.");
            return Err(Exception::new("java.lang.RuntimeException", message));
        }
    }
    if updates.is_empty() {
        return Err(terse(format!("You must specify at least one feature to {command}")));
    }
    update(&mut admin, command, kind, &updates, given.is("dry_run"))
}

fn name_and_level(text: &str) -> Result<(String, i16)> {
    let wrong = |why: &str| {
        Exception::new(
            "java.lang.RuntimeException",
            format!("Can't parse feature=level string {text}: {why}"),
        )
    };
    let (name, level) = text.split_once('=').ok_or_else(|| wrong("equals sign not found."))?;
    let level = level.trim();
    let number = level.parse().map_err(|_| wrong(&format!("unable to parse {level} as a short.")))?;
    Ok((name.trim().to_owned(), number))
}

fn describe(admin: &mut Admin) -> Result<()> {
    let request = ApiVersionsRequest::default()
        .with_client_software_name(text("jackdaw"))
        .with_client_software_version(text(env!("CARGO_PKG_VERSION")));
    let answer = admin.ask(To::Any, "describeFeatures", &request)?;
    check(answer.error_code, None)?;
    let shown = |feature: &str, level: i16| match metadata_version::name_of(level) {
        Some(name) if feature == METADATA => name.to_owned(),
        None if feature == METADATA => format!("UNKNOWN {level}"),
        _ => level.to_string(),
    };
    let mut features = answer.supported_features;
    features.sort_by(|one, other| one.name.cmp(&other.name));
    let epoch = answer.finalized_features_epoch;
    let epoch = if epoch < 0 { "-".to_owned() } else { epoch.to_string() };
    for feature in features {
        let name = feature.name.to_string();
        let finalized = answer.finalized_features.iter().find(|finalized| finalized.name == feature.name);
        outln!(
            "Feature: {name}\tSupportedMinVersion: {}\tSupportedMaxVersion: {}\tFinalizedVersionLevel: {}\tEpoch: {epoch}",
            shown(&name, feature.min_version),
            shown(&name, feature.max_version),
            shown(&name, finalized.map_or(0, |finalized| finalized.max_version_level)),
        );
    }
    Ok(())
}

fn update(
    admin: &mut Admin,
    command: &str,
    kind: i8,
    updates: &BTreeMap<String, i16>,
    dry_run: bool,
) -> Result<()> {
    let told = admin.retrying(MOVED, |admin| {
        let answer = admin.ask_by_version(To::Controller, "updateFeatures", |version| {
            let feature = |(name, level): (&String, &i16)| {
                let key = FeatureUpdateKey::default().with_feature(text(name)).with_max_version_level(*level);
                if version >= 1 {
                    key.with_upgrade_type(kind)
                } else {
                    key.with_allow_downgrade(kind != UPGRADE)
                }
            };
            let request = UpdateFeaturesRequest::default()
                .with_timeout_ms(TIMEOUT_MS)
                .with_feature_updates(updates.iter().map(feature).collect());
            if version >= 1 { request.with_validate_only(dry_run) } else { request }
        })?;
        if MOVED.contains(&answer.error_code) {
            return Err(exception(answer.error_code, answer.error_message.as_deref()));
        }
        Ok(answer)
    })?;
    let whole = check(told.error_code, told.error_message.as_deref()).err();
    let mut failures = 0;
    for (name, level) in updates {
        let own = told.results.iter().find(|result| *result.feature == **name);
        let own = own.and_then(|result| check(result.error_code, result.error_message.as_deref()).err());
        let to = if command == "disable" { String::new() } else { format!(" to {level}") };
        match whole.clone().or(own) {
            Some(error) => {
                let helper = if dry_run { "Can not" } else { "Could not" };
                outln!("{helper} {command} {name}{to}. {}", error.message);
                failures += 1;
            }
            None => {
                let verb = if dry_run { "can be" } else { "was" };
                outln!("{name} {verb} {command}d{to}.");
            }
        }
    }
    match failures {
        0 => Ok(()),
        count => Err(terse(format!("{count} out of {} operation(s) failed.", updates.len()))),
    }
}
