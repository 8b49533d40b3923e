//! What can be written on the command line?
//!
//! Only the definition; `main` runs what was asked for. Logs go to stderr, data to stdout.

use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand, ValueEnum};

/// Exit code: done.
pub const EXIT_DONE: u8 = 0;
/// Exit code: it failed while it ran.
pub const EXIT_FAILED: u8 = 1;
/// Exit code: the command line or a pipeline file is wrong. clap uses the same for what it refuses.
pub const EXIT_WRONG: u8 = 2;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed while running
  2  the command line or a pipeline file is wrong";

/// Lands every change of DynamoDB tables as typed Parquet in a lake, each exactly once.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(
    name = "watershed",
    version,
    long_about = "Reads every item-level change of DynamoDB tables from DynamoDB Streams, from Kinesis or from recorded \
        files, and lands all of them as typed Parquet in a folder or in S3, each exactly once.\n\n\
        What to read and where to land it is said in a pipeline file; `pipelines/README.md` explains its keys. AWS \
        credentials, region and endpoints are the SDK's own: profiles, roles, AWS_REGION, AWS_ENDPOINT_URL. Logs go to \
        stderr, data to stdout.",
    after_long_help = EXIT_CODES,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// Log more: once for details, twice for every call
    #[arg(short, long, global = true, action = ArgAction::Count, display_order = 100)]
    pub verbose: u8,

    /// How log lines look
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value_t, display_order = 101)]
    pub log_format: LogFormat,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object per line
    Json,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Tail the source into the lake
    #[command(
        long_about = "Tails the source into the lake until it is told to stop.\n\n\
            SIGTERM and Ctrl-C drain: reading stops, what was read is written and checkpointed, and the exit code is 0 \
            if that took no longer than `shutdown_grace`. However it ends, the next run goes on where the lake ends.",
        after_long_help = concat!(
            "Examples:\n",
            "  watershed run pipelines/quickstart.toml --once\n",
            "  AWS_PROFILE=prod watershed run forum.toml --log-format json\n\n",
            "Exit codes:\n",
            "  0  stopped by a signal and all is durable; with --once: all that was there is durable\n",
            "  1  failed while running: the last log line says why and what to do\n",
            "  2  the command line or the pipeline file is wrong"
        )
    )]
    Run {
        /// The pipeline file
        #[arg(value_name = "PIPELINE.toml")]
        pipeline: PathBuf,
        /// Stop when the tip of every shard was reached and all is durable
        #[arg(long)]
        once: bool,
    },

    /// Get a table that exists already into the lake
    #[command(
        long_about = "Lands all items of the pipeline's tables while they are being written, so that lake and table agree \
            afterwards: a consistent scan, or exports (which cost no read units), beside a tail that misses nothing \
            meanwhile. If no `watershed run` tails, the backfill does for as long as it takes.\n\n\
            A backfill that was killed goes on where its rows were durable: start it again. What it lands is a generation \
            of the table; it exits with 0 only when that is complete.",
        after_long_help = concat!(
            "Examples:\n",
            "  watershed backfill forum.toml --dry-run\n",
            "  watershed backfill forum.toml --segments 8 --read-units 500\n",
            "  watershed backfill forum.toml --export s3://exports/AWSDynamoDB/01795168800622-efd1a093\n",
            "  watershed backfill forum.toml --export AWSDynamoDB/01795168800622-efd1a093 --snapshot-only\n",
            "  watershed backfill forum.toml --export new:s3://exports/forum\n\n",
            "Exit codes:\n",
            "  0  the generation is complete\n",
            "  1  it failed while it ran: the last line says why; start it again to go on\n",
            "  2  the command line or the pipeline file is wrong"
        )
    )]
    Backfill {
        /// The pipeline file
        #[arg(value_name = "PIPELINE.toml")]
        pipeline: PathBuf,
        /// An export to land instead of scanning: the folder or s3:// prefix with its manifest-summary.json. Several
        /// incremental ones, oldest first, are landed together. `new:s3://BUCKET/PREFIX`: DynamoDB makes one, for which the
        /// table needs point-in-time recovery
        #[arg(long = "export", value_name = "URI")]
        exports: Vec<String>,
        /// Land an export of which items or attributes were left out
        #[arg(long, requires = "exports")]
        allow_partial: bool,
        /// Land the table as it is, without a tail
        #[arg(long)]
        snapshot_only: bool,
        /// How many parts of the table, or lanes of export files, are read side by side
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
        segments: Option<u32>,
        /// The most read units a second that a scan takes of a table
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "exports")]
        read_units: Option<u32>,
        /// Tell items, size, cost and time, and read nothing
        #[arg(long)]
        dry_run: bool,
    },

    /// Find every mistake in pipeline files
    #[command(
        long_about = "Finds every mistake in pipeline files at once and says where it is and how to mend it.\n\n\
            Reads nothing but these files: no network, no credentials. With --lambda it asks AWS about a function and its \
            event source mappings instead, and says which settings are unsafe.",
        after_long_help = concat!(
            "Examples:\n",
            "  watershed check pipelines/*.toml\n",
            "  watershed check --lambda orders\n\n",
            "Exit codes:\n",
            "  0  all files are right, or the function is safe\n",
            "  1  AWS could not be asked\n",
            "  2  there are mistakes, a file cannot be read, or a setting is unsafe"
        )
    )]
    Check {
        /// The pipeline files
        #[arg(value_name = "PIPELINE.toml", required_unless_present = "lambda")]
        pipelines: Vec<PathBuf>,
        /// Check a function and its mappings as they are at AWS
        #[arg(long, value_name = "FUNCTION_OR_ARN", conflicts_with = "pipelines")]
        lambda: Option<String>,
    },

    /// Print the least IAM policy a pipeline needs
    #[command(
        long_about = "Prints the least IAM policy that a pipeline needs, as JSON. Where the file gives names and no ARNs, \
            region and account are `*`.\n\n\
            Keys are not in it: with a stream or a bucket that is encrypted with a key of yours, kms:Decrypt is needed \
            besides, and for the bucket kms:GenerateDataKey.",
        after_long_help = concat!(
            "Examples:\n",
            "  watershed iam forum.toml --mode daemon\n",
            "  watershed iam pipelines/lambda/dynamodb.toml --mode lambda\n",
            "  watershed iam forum.toml --mode backfill\n",
            "  watershed iam forum.toml --mode backfill --export s3://exports/AWSDynamoDB/01795168800622-efd1a093"
        )
    )]
    Iam {
        /// The pipeline file
        #[arg(value_name = "PIPELINE.toml")]
        pipeline: PathBuf,
        /// How it runs
        #[arg(long, value_enum)]
        mode: crate::iam::Mode,
        /// Of a backfill: an export that it lands instead of scanning
        #[arg(long = "export", value_name = "URI")]
        exports: Vec<String>,
        /// Of a backfill: without a tail
        #[arg(long)]
        snapshot_only: bool,
    },

    /// Serve a stream's events as an AWS Lambda function
    #[command(
        long_about = "Serves the events of a DynamoDB stream's or a Kinesis stream's event source mapping, as the bootstrap \
            of an AWS Lambda function. WATERSHED_PIPELINE names the pipeline file: a path in the package, or \
            s3://BUCKET/KEY.\n\n\
            Without a command and with AWS_LAMBDA_RUNTIME_API set, as Lambda starts it, this is what watershed does.",
        after_long_help = concat!(
            "Examples:\n",
            "  WATERSHED_PIPELINE=forum.toml watershed lambda\n\n",
            "Exit codes:\n",
            "  1  failed: Lambda starts it again\n",
            "  2  it was not started by Lambda, or the pipeline file is wrong"
        )
    )]
    Lambda,

    /// Print changes as they come
    #[command(
        long_about = "Prints changes as they come, one line each. Neither lake nor checkpoints are touched.",
        after_long_help = concat!(
            "Examples:\n",
            "  watershed tail forum.toml\n",
            "  watershed tail forum.toml --json | jq .op"
        )
    )]
    Tail {
        /// The pipeline file
        #[arg(value_name = "PIPELINE.toml")]
        pipeline: PathBuf,
        /// One JSON object per change
        #[arg(long)]
        json: bool,
    },

    /// Print the columns the lake would get, as TOML
    #[command(
        long_about = "Infers the columns of each table from a sample of its changes and prints them as the \
            `[lake.tables.NAME]` sections of a pipeline file. Nothing is written.",
        after_long_help = concat!("Examples:\n", "  watershed schema pipelines/quickstart.toml")
    )]
    Schema {
        /// The pipeline file
        #[arg(value_name = "PIPELINE.toml")]
        pipeline: PathBuf,
    },

    /// Print how far each shard has come
    #[command(
        long_about = "Prints position, lag and state of each shard and sink, from the checkpoints.",
        after_long_help = concat!("Examples:\n", "  watershed positions pipelines/quickstart.toml")
    )]
    Positions {
        /// The pipeline file
        #[arg(value_name = "PIPELINE.toml")]
        pipeline: PathBuf,
    },

    /// Compare the live tables with the lake
    #[command(
        long_about = "Reads the pipeline's tables with consistent reads and compares each item with the lake's latest state. \
            Names the keys of items that differ. While a table is written, changes on their way differ.",
        after_long_help = concat!(
            "Examples:\n",
            "  watershed verify forum.toml\n",
            "  watershed verify forum.toml --segments 16\n",
            "  watershed verify forum.toml --sample 10000 --read-units 100\n\n",
            "Exit codes:\n",
            "  0  no item differs\n",
            "  1  some differ, or it failed while it ran\n",
            "  2  the command line or the pipeline file is wrong"
        )
    )]
    Verify {
        /// The pipeline file
        #[arg(value_name = "PIPELINE.toml")]
        pipeline: PathBuf,
        /// Compare about so many items of each table, picked at random, and not those that only the lake has
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        sample: Option<u64>,
        /// Into how many segments a whole table is divided, of which up to 16 are read side by side
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000), conflicts_with = "sample")]
        segments: Option<u32>,
        /// The most read units a second that are taken of a table
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        read_units: Option<u32>,
    },

    /// Send a handler's dead letters again
    #[command(
        long_about = "Sends the changes again that a handler was given up with, in the order of each item, and marks those \
            that were taken as done. One that fails again stays, and holds back the later ones of its item.\n\n\
            The pipeline may run meanwhile. What an item became since may have been delivered before.",
        after_long_help = concat!(
            "Examples:\n",
            "  watershed replay forum.toml new-replies\n",
            "  watershed replay forum.toml new-replies/5d41402abc4b2a76/021100000000003218256368-0000000000.json\n\n",
            "Exit codes:\n",
            "  0  all were taken, or there were none\n",
            "  1  some failed again, or it failed while it ran\n",
            "  2  the command line or the pipeline file is wrong"
        )
    )]
    Replay {
        /// The pipeline file
        #[arg(value_name = "PIPELINE.toml")]
        pipeline: PathBuf,
        /// A handler, or one of its letters as the letter itself names it: HANDLER/PATH
        #[arg(value_name = "DEADLETTER")]
        letters: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_is_understood() {
        let pipeline = PathBuf::from("a.toml");
        let cases = [
            ("watershed run a.toml", Command::Run { pipeline: pipeline.clone(), once: false }),
            ("watershed run --once a.toml", Command::Run { pipeline: pipeline.clone(), once: true }),
            (
                "watershed check a.toml b.toml",
                Command::Check { pipelines: vec!["a.toml".into(), "b.toml".into()], lambda: None },
            ),
            ("watershed check --lambda f", Command::Check { pipelines: Vec::new(), lambda: Some("f".into()) }),
            (
                "watershed iam a.toml --mode lambda",
                Command::Iam {
                    pipeline: pipeline.clone(),
                    mode: crate::iam::Mode::Lambda,
                    exports: Vec::new(),
                    snapshot_only: false,
                },
            ),
            (
                "watershed iam a.toml --mode backfill --export x --snapshot-only",
                Command::Iam {
                    pipeline: pipeline.clone(),
                    mode: crate::iam::Mode::Backfill,
                    exports: vec!["x".into()],
                    snapshot_only: true,
                },
            ),
            ("watershed lambda", Command::Lambda),
            (
                "watershed backfill a.toml --export x --export y --snapshot-only --segments 3 --dry-run",
                Command::Backfill {
                    pipeline: pipeline.clone(),
                    exports: vec!["x".into(), "y".into()],
                    allow_partial: false,
                    snapshot_only: true,
                    segments: Some(3),
                    read_units: None,
                    dry_run: true,
                },
            ),
            ("watershed tail a.toml --json", Command::Tail { pipeline: pipeline.clone(), json: true }),
            ("watershed schema a.toml", Command::Schema { pipeline: pipeline.clone() }),
            ("watershed positions a.toml", Command::Positions { pipeline: pipeline.clone() }),
            (
                "watershed verify a.toml --sample 9",
                Command::Verify { pipeline: pipeline.clone(), sample: Some(9), segments: None, read_units: None },
            ),
            ("watershed replay a.toml hook/x", Command::Replay { pipeline, letters: "hook/x".into() }),
        ];
        for (line, command) in cases {
            assert_eq!(parse(line).unwrap(), Cli { verbose: 0, log_format: LogFormat::Text, command }, "{line}");
        }
    }

    #[test]
    fn logging_options_stand_anywhere() {
        for line in
            ["watershed -vv --log-format json check a.toml", "watershed check a.toml --verbose -v --log-format=json"]
        {
            let cli = parse(line).unwrap();
            assert_eq!((cli.verbose, cli.log_format), (2, LogFormat::Json), "{line}");
        }
    }

    #[test]
    fn what_is_not_understood_has_the_exit_code_of_a_wrong_command() {
        for line in
            ["watershed", "watershed runn a.toml", "watershed run", "watershed check", "watershed run a.toml --twice"]
        {
            assert_eq!(parse(line).unwrap_err().exit_code(), i32::from(EXIT_WRONG), "{line}");
        }
        assert_eq!(parse("watershed --help").unwrap_err().exit_code(), i32::from(EXIT_DONE));
    }

    #[test]
    fn long_help_tells_the_exit_codes_and_shows_examples() {
        let mut command = Cli::command();
        assert!(command.render_long_help().to_string().contains(EXIT_CODES));
        for sub in command.get_subcommands_mut().filter(|sub| sub.get_name() != "help") {
            let help = sub.render_long_help().to_string();
            assert!(help.contains("Examples:\n  "), "{help}");
        }
    }
}
