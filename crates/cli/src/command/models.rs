//! `cuiban models`: how far the read models are, and folding them anew.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use cuiban_event_log::Filter;
use cuiban_projector::{Projector, StoreError};
use serde_json::json;

use super::runtime;
use crate::args::{LogPlace, Models, ModelsWhat};
use crate::exit::{Failure, Outcome};
use crate::output;
use crate::settings::Settings;
use crate::wiring::{Access, DataDir, open_log};

pub(crate) fn run(args: Models, settings: Settings) -> Outcome {
    match args.what {
        ModelsWhat::Status { data, json } => runtime()?.block_on(status(data, settings, json)),
        ModelsWhat::Rebuild { place, models, json } => {
            runtime()?.block_on(rebuild(place, models, settings, json))
        }
    }
}

/// Looks at the models as they are, catching up with the log on the way.
async fn status(data: PathBuf, settings: Settings, json: bool) -> Outcome {
    let place = LogPlace { data: Some(data.clone()), nats: None };
    let models = DataDir::new(Some(data), &settings).models();
    let projector = caught_up(&place, models, settings).await?;
    let result = print(&projector, json);
    projector.stop().await;
    result
}

/// Deletes what is there first: a rebuild that fails half-way is begun again, never mixed.
async fn rebuild(place: LogPlace, models: Option<PathBuf>, settings: Settings, json: bool) -> Outcome {
    let dir = match (models, &place.nats) {
        (Some(dir), _) => dir,
        (None, None) => DataDir::new(place.data.clone(), &settings).models(),
        (None, Some(_)) => return Err(Failure::Usage(anyhow!("name the read models' folder: --models DIR"))),
    };
    match cuiban_projector::Store::open(&dir) {
        Ok(store) => drop(store),
        Err(error @ StoreError::InUse { .. }) => return Err(in_use(error)),
        // Damaged ones are deleted like sound ones.
        Err(_) => {}
    }
    if dir.exists() {
        std::fs::remove_dir_all(&dir).with_context(|| format!("delete {}", dir.display()))?;
    }
    let projector = caught_up(&place, dir, settings).await?;
    let result = print(&projector, json);
    projector.stop().await;
    result
}

fn in_use(error: StoreError) -> Failure {
    Failure::Conflict(
        anyhow!(error).context("a running process has the read models: ask its /v1/models, or stop it first"),
    )
}

/// A projector that has folded everything that the log holds, with a bar while it does.
async fn caught_up(place: &LogPlace, dir: PathBuf, settings: Settings) -> Result<Projector, Failure> {
    let config = settings.projector.clone();
    let log = open_log(place, settings, Access::Read).await?;
    let head = log.head().await?;
    let projector = match Projector::start(log, &dir, Filter::everything(), config).await {
        Err(error @ StoreError::InUse { .. }) => return Err(in_use(error)),
        other => other?,
    };
    let bar = output::progress("重建 fold", head.raw());
    let mut progress = projector.progress();
    loop {
        let now = *progress.borrow_and_update();
        bar.set_position(now.position.raw());
        if now.caught_up || now.position >= head {
            break;
        }
        progress.changed().await?;
    }
    bar.finish_and_clear();
    Ok(projector)
}

fn print(projector: &Projector, as_json: bool) -> Outcome {
    let status = projector.models().status()?;
    if as_json {
        return Ok(output::json(&json!({ "models": status }))?);
    }
    let rows = status.iter().map(|model| {
        let state = serde_json::to_value(model).unwrap_or_default();
        let text = |name: &str| state.get(name).map(ToString::to_string).unwrap_or_default();
        [
            text("name").trim_matches('"').to_owned(),
            text("version"),
            text("position"),
            text("rows"),
            text("parked"),
        ]
    });
    Ok(output::table(["读模型 model", "版本 version", "位置 position", "行 rows", "搁置 parked"], rows)?)
}
