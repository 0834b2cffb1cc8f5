//! The command line.

use clap::Parser;

use super::column::Column;
use super::row::Row;

/// Measures failover, and writes the table, the claims of README.md and the picture.
#[derive(Parser, Clone, Debug)]
#[command(name = "failover", bin_name = "failover")]
pub struct Options {
    /// How often each fault is done to each cluster
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub runs: u32,
    /// Measures this alone, and keeps what is known of the rest: a fault, a helper, or both with a comma between
    #[arg(long, value_name = "ROW,COLUMN", value_parser = Only::parse)]
    pub only: Vec<Only>,
    /// Prints what CTDB logged in every run
    #[arg(short, long)]
    pub verbose: bool,
    /// Measures nothing, and writes all anew from what is known
    #[arg(long)]
    pub draw: bool,
}

/// A part of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Only {
    row: Option<Row>,
    column: Option<Column>,
}

impl Only {
    fn parse(text: &str) -> Result<Self, String> {
        let mut only = Self { row: None, column: None };
        for word in text.split(',') {
            match (Row::named(word), Column::named(word)) {
                (Some(row), _) if only.row.is_none() => only.row = Some(row),
                (_, Some(column)) if only.column.is_none() => only.column = Some(column),
                _ => {
                    let rows: Vec<_> = Row::ALL.into_iter().map(Row::id).collect();
                    let columns: Vec<_> = Column::ALL.into_iter().map(Column::id).collect();
                    return Err(format!("{word:?}: not one of {} or {}", rows.join(" "), columns.join(" ")));
                }
            }
        }
        Ok(only)
    }

    fn has(self, row: Row, column: Column) -> bool {
        self.row.is_none_or(|it| it == row) && self.column.is_none_or(|it| it == column)
    }
}

impl Options {
    /// Whether this cell is to be measured.
    #[must_use]
    pub fn wants(&self, row: Row, column: Column) -> bool {
        column.has(row) && (self.only.is_empty() || self.only.iter().any(|only| only.has(row, column)))
    }

    /// Whether any cell of this helper is.
    #[must_use]
    pub fn wants_column(&self, column: Column) -> bool {
        Row::ALL.into_iter().any(|row| self.wants(row, column))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(only: &[&str]) -> Options {
        let only = only.iter().map(|text| Only::parse(text).unwrap()).collect();
        Options { runs: 3, only, verbose: false, draw: false }
    }

    #[test]
    fn parts_of_the_table_can_be_asked_for() {
        assert!(options(&[]).wants(Row::ShutDown, Column::File));
        assert!(!options(&[]).wants(Row::WorkerKilled, Column::SambaFcntl));
        let some = options(&["shutdown", "file,node-killed"]);
        assert!(some.wants(Row::ShutDown, Column::Rados(4)) && some.wants(Row::NodeKilled, Column::File));
        assert!(!some.wants(Row::NodeKilled, Column::Rados(4)));
        assert!(!options(&["shutdown,file"]).wants_column(Column::Rados(4)));
    }

    #[test]
    fn what_is_no_part_is_refused() {
        for text in ["", "shutdown,shutdown", "shutdown,file,file", "files"] {
            assert!(Only::parse(text).is_err(), "{text:?}");
        }
    }
}
