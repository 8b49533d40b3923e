//! Which exports does a backfill land: those that are there, or one that DynamoDB makes for it?

use std::io::Write;
use std::time::Duration;

use super::tail::Tail;
use super::{Backfill, BackfillError, Ground, Part, default_lanes, generation, is_fresh, keys, names, report};
use crate::assembly::AssemblyError;
use crate::change::TableName;
use crate::lake::Lake;
use crate::lake::generation::{Exports, Generation, Method};
use crate::source::TableFacts;
use crate::source::export::{Export, ExportStream, Made, Target, Window};

/// How many exports that were made earlier for the same generation, and are of no use, are passed over.
const EARLIER: u32 = 5;

impl<G: Ground> Backfill<'_, G> {
    /// Lands exports that are there.
    pub(super) async fn export(&self, out: &mut (dyn Write + Send)) -> Result<(), BackfillError> {
        let exports = self.exports().await?;
        if self.wanted.dry_run {
            return Ok(report::exports(&exports, self.wanted, out)?);
        }
        let table = TableName::from(exports.first().map_or("", |export| &*export.manifest.table));
        let tail = self.tail().await?;
        if tail.is_some() {
            for (_, called) in self.ground.tables().into_iter().filter(|(name, _)| *name == table) {
                self.can_be_followed(&called, &self.ground.table_facts(&called).await?)?;
            }
        }
        let lake = self.ground.lake_for(&[(table.clone(), Vec::new())]).await.map_err(|error| match error {
            AssemblyError::Aws(why) if self.wanted.snapshot_only => BackfillError::Refused(format!(
                "{why}. Or say what would be asked for, and no service is needed: `keys = [\"PARTITION-KEY\", \"SORT-KEY\"]` \
                 below [lake.tables.{table}] in the pipeline file"
            )),
            error => error.into(),
        })?;
        let generation = self.export_generation(&lake, &exports, tail.as_ref()).await?;
        let part = self.export_part(&lake, generation, exports, tail.is_some()).await?;
        self.land(&lake, std::future::ready(Ok(vec![part])), tail, out).await
    }

    /// Has DynamoDB make an export of each table, and lands them. The tail goes on meanwhile.
    pub(super) async fn new_exports(&self, target: &Target, out: &mut (dyn Write + Send)) -> Result<(), BackfillError> {
        let tables = self.tables().await?;
        // Before the tail is begun, and a generation.
        for (_, facts) in &tables {
            self.ground.can_be_exported(facts).await?;
        }
        if self.wanted.dry_run {
            return Ok(report::new_exports(&tables, target, self.wanted, out)?);
        }
        let tail = self.tail().await?;
        let lake = self.lake_of(&tables).await?;
        let mut begun = Vec::new();
        for (_, facts) in tables {
            let fresh = is_fresh(tail.as_ref(), &lake, &facts.name).await?;
            let of = (Method::Export, fresh, keys(&facts));
            begun.push((self.generation(&lake, &facts.name, of, None).await?, facts));
        }
        let followed = tail.is_some();
        let parts = async {
            let mut parts = Vec::new();
            for (generation, facts) in begun {
                let export = self.made(&lake, &generation, &facts, target, followed).await?;
                parts.push(self.export_part(&lake, generation, vec![export], followed).await?);
            }
            Ok(parts)
        };
        self.land(&lake, parts, tail, out).await
    }

    /// An export that is made for a generation.
    async fn made(
        &self,
        lake: &Lake,
        generation: &Generation,
        facts: &TableFacts,
        target: &Target,
        followed: bool,
    ) -> Result<Export, BackfillError> {
        let Generation { generation: number, began_at, fresh, .. } = generation;
        if followed && !fresh {
            let wait = (generation::due(generation) - self.clock.wall_micros()).max(0);
            tracing::info!(seconds = wait / 1_000_000, "the export is asked for when it can't miss a change");
            self.clock.sleep(Duration::from_micros(wait.unsigned_abs())).await;
        }
        for attempt in 0..EARLIER {
            let Target { bucket, prefix } = target;
            let purpose = format!("{} {number} {began_at} s3://{bucket}/{prefix} {attempt}", facts.arn);
            let Made::There { uri, earlier } = self.ground.new_export(facts, target, &purpose).await? else {
                continue;
            };
            let export = self.ground.exports(&[uri]).await?.remove(0);
            let covers = generation::covers(lake, generation, std::slice::from_ref(&export), &self.clock).await;
            match covers {
                Err(_) if earlier && followed => {}
                Err(why) if followed => return Err(why),
                _ => return Ok(export),
            }
        }
        let why =
            format!("the exports that were made of table {} are of no use: start the backfill again later", facts.name);
        Err(BackfillError::Refused(why))
    }

    /// The exports that were asked for: of a table of the pipeline, and whole.
    async fn exports(&self) -> Result<Vec<Export>, BackfillError> {
        let exports = self.ground.exports(&self.wanted.exports).await?;
        for export in &exports {
            let (place, table) = (&export.place, &export.manifest.table);
            if let Some(tables) = self.pipeline.source.origin.tables()
                && !tables.contains(&table.as_str())
            {
                let has = tables.join(", ");
                let why = format!("the export at {place} is of table {table}, and the pipeline has {has}");
                return Err(BackfillError::Refused(why));
            }
            if export.manifest.partial && !self.wanted.allow_partial {
                return Err(BackfillError::Refused(format!(
                    "the export at {place} leaves out items or attributes, so that the lake would not agree with the table. \
                     Export it without a filter, or land what there is with --allow-partial"
                )));
            }
        }
        Ok(exports)
    }

    /// The generation that these exports are landed as.
    async fn export_generation(
        &self,
        lake: &Lake,
        exports: &[Export],
        tail: Option<&Tail>,
    ) -> Result<Generation, BackfillError> {
        let table = TableName::from(exports.first().map_or("", |export| &*export.manifest.table));
        let fresh = is_fresh(tail, lake, &table).await?;
        let keys = lake.rules(&table).keys.clone();
        self.generation(lake, &table, (Method::Export, fresh, keys), Some(&self.chosen(exports))).await
    }

    fn chosen(&self, exports: &[Export]) -> Exports {
        let exports = exports.iter().map(|export| export.manifest.arn.clone()).collect();
        Exports { exports, lanes: self.wanted.segments.unwrap_or_else(default_lanes) }
    }

    async fn export_part(
        &self,
        lake: &Lake,
        generation: Generation,
        exports: Vec<Export>,
        followed: bool,
    ) -> Result<Part, BackfillError> {
        if followed {
            generation::covers(lake, &generation, &exports, &self.clock).await?;
        }
        let wanted = self.chosen(&exports);
        let Exports { exports: chosen, lanes } = lake.generations().choose(&generation, &wanted).await?;
        if chosen != wanted.exports {
            let Generation { table, generation, .. } = &generation;
            let why = format!("another backfill of table {table} lands other exports as generation {generation}");
            return Err(BackfillError::Refused(why));
        }
        let items = exports.iter().map(|export| export.manifest.items).sum();
        let all_at = exports.first().and_then(|export| match export.manifest.window {
            Window::Full(at) => Some(at).filter(|_| !export.manifest.partial),
            Window::Incremental { .. } => None,
        });
        let (identity, prefix) = names(&generation);
        let stream = ExportStream::new(identity, exports, lanes, &prefix, self.clock.clone());
        Ok(Part { generation, stream, scan: None, items, exact: true, all_at })
    }
}
