//! The picture: a group of bars a fault, a panel a store, ours in blue beside the distribution's in orange.
//!
//! Drawn by hand from plotters' rectangles and words: its charts have no bars that never end, and no axis of faults.

use anyhow::{Context, anyhow};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::belief::median_and_worst;
use super::column::Column;
use super::measured::{Outcome, Record};
use super::row::Row;
use super::store::Kind;

/// Pixels.
const WIDTH: i32 = 1340;
const TOP: i32 = 104;
const LABELS: i32 = 236;
const PANEL: i32 = 330;
const GAP: i32 = 34;
const BAR: i32 = 10;
const BETWEEN_BARS: i32 = 2;
const BETWEEN_GROUPS: i32 = 14;
const FOOT: i32 = 62;

const INK: RGBColor = RGBColor(36, 41, 47);
const FAINT: RGBColor = RGBColor(216, 222, 228);
const GREY: RGBColor = RGBColor(110, 119, 129);
const RED: RGBColor = RGBColor(224, 36, 36);

/// As SVG.
///
/// # Errors
/// Where it cannot be drawn.
pub fn draw(record: &Record) -> anyhow::Result<String> {
    let mut svg = String::new();
    {
        let most = Kind::ALL.into_iter().map(|kind| bars(kind).len()).max().unwrap_or(1);
        let group = i32::try_from(most)? * (BAR + BETWEEN_BARS) + BETWEEN_GROUPS;
        let rows = i32::try_from(Row::ALL.len())?;
        let bottom = TOP + rows * group;
        let size = (u32::try_from(WIDTH)?, u32::try_from(bottom + FOOT)?);
        let canvas = Canvas(SVGBackend::with_string(&mut svg, size).into_drawing_area());
        canvas.area((0, 0), (WIDTH, bottom + FOOT), &WHITE)?;
        canvas.legend(record)?;
        let scale = Scale::of(record);
        for (number, row) in (0..).zip(Row::ALL) {
            let y = TOP + number * group;
            if number % 2 == 0 {
                canvas.area((0, y), (WIDTH, y + group), &RGBColor(246, 248, 250))?;
            }
            canvas.words(row.label(), (LABELS - 12, y + group / 2), 15, &INK, HPos::Right)?;
        }
        for (number, kind) in (0..).zip(Kind::ALL) {
            let left = LABELS + number * (PANEL + GAP);
            canvas.axis(kind, left, bottom, &scale)?;
            for (number, row) in (0..).zip(Row::ALL) {
                let columns = bars(kind);
                let used = i32::try_from(columns.len())? * (BAR + BETWEEN_BARS) - BETWEEN_BARS;
                let y = TOP + number * group + (group - used) / 2;
                for (number, column) in (0..).zip(columns) {
                    canvas.bar(record, row, column, (left, y + number * (BAR + BETWEEN_BARS)), &scale)?;
                }
            }
        }
        canvas.0.present().map_err(|error| anyhow!("{error}")).context("draw the picture")?;
    }
    Ok(svg)
}

/// Those of a store that have bars.
fn bars(kind: Kind) -> Vec<Column> {
    Column::of(kind)
}

fn colour(column: Column) -> RGBColor {
    match column {
        Column::Rados(lease) | Column::Etcd(lease) if lease < 9 => RGBColor(123, 182, 238),
        Column::Rados(_) | Column::Etcd(_) | Column::File => RGBColor(9, 92, 181),
        Column::SambaRados(lease) if lease < 9 => RGBColor(250, 190, 120),
        Column::SambaRados(_) | Column::SambaFcntl | Column::EtcdScript => RGBColor(214, 109, 10),
    }
}

/// Seconds to pixels.
struct Scale {
    seconds: f64,
}

impl Scale {
    /// All that came to an end is within, up to the next full five.
    fn of(record: &Record) -> Self {
        let runs = record.cells.iter().flat_map(|cell| &cell.runs);
        let longest = runs.flat_map(|run| [run.leader_after, run.believed]).flatten().fold(5.0, f64::max);
        Self { seconds: (longest / 5.0).ceil() * 5.0 }
    }

    #[expect(clippy::cast_possible_truncation, reason = "a number of pixels")]
    fn pixels(&self, seconds: f64) -> i32 {
        (seconds / self.seconds * f64::from(PANEL)).round() as i32
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        let seconds = self.seconds;
        (0..).map(|step| f64::from(step) * 5.0).take_while(move |&tick| tick <= seconds)
    }
}

struct Canvas<'a>(DrawingArea<SVGBackend<'a>, plotters::coord::Shift>);

impl Canvas<'_> {
    fn area(&self, from: (i32, i32), to: (i32, i32), colour: &RGBColor) -> anyhow::Result<()> {
        self.0.draw(&Rectangle::new([from, to], colour.filled())).map_err(|error| anyhow!("{error}"))
    }

    fn faint_area(&self, from: (i32, i32), to: (i32, i32), colour: &RGBColor) -> anyhow::Result<()> {
        self.0.draw(&Rectangle::new([from, to], colour.mix(0.22).filled())).map_err(|error| anyhow!("{error}"))
    }

    fn line(&self, from: (i32, i32), to: (i32, i32), colour: &RGBColor, width: u32) -> anyhow::Result<()> {
        let line = PathElement::new([from, to], colour.stroke_width(width));
        self.0.draw(&line).map_err(|error| anyhow!("{error}"))
    }

    /// Words at a place, by the middle of their height.
    fn words(&self, text: &str, at: (i32, i32), size: i32, colour: &RGBColor, by: HPos) -> anyhow::Result<()> {
        let style = ("sans-serif", size).into_font().color(colour).pos(Pos::new(by, VPos::Center));
        self.0.draw(&Text::new(text.to_owned(), at, style)).map_err(|error| anyhow!("{error}"))
    }

    fn legend(&self, record: &Record) -> anyhow::Result<()> {
        let title = "CTDB: seconds from a fault of the leader to a new leader";
        self.words(title, (16, 20), 20, &INK, HPos::Left)?;
        let mut x = 16;
        for (column, text) in [
            (Column::Rados(4), "ours, lease 4 s"),
            (Column::Rados(9), "ours, lease 9 s; a file"),
            (Column::SambaRados(4), "Samba's, 4 s"),
            (Column::SambaRados(9), "Samba's, 9 s; a file"),
        ] {
            self.area((x, 42), (x + 22, 54), &colour(column))?;
            self.words(text, (x + 28, 48), 14, &INK, HPos::Left)?;
            x += 178;
        }
        self.line((x, 48), (x + 22, 48), &INK, 1)?;
        self.words("worst run", (x + 28, 48), 14, &INK, HPos::Left)?;
        x += 108;
        self.line((x + 8, 41), (x + 8, 55), &INK, 3)?;
        self.words("the old one no longer believes", (x + 18, 48), 14, &INK, HPos::Left)?;
        x += 228;
        self.area((x, 42), (x + 22, 54), &RED)?;
        self.words("two believe", (x + 28, 48), 14, &INK, HPos::Left)?;
        self.words(&record.circumstances.when(), (WIDTH - 16, 20), 13, &GREY, HPos::Right)
    }

    fn axis(&self, kind: Kind, left: i32, bottom: i32, scale: &Scale) -> anyhow::Result<()> {
        self.words(&format!("{kind}"), (left, TOP - 16), 16, &INK, HPos::Left)?;
        for tick in scale.ticks() {
            let x = left + scale.pixels(tick);
            self.line((x, TOP), (x, bottom + 4), &FAINT, 1)?;
            self.words(&format!("{tick}"), (x, bottom + 14), 13, &INK, HPos::Center)?;
        }
        self.line((left, TOP), (left, bottom), &INK, 1)?;
        self.words("seconds", (left + PANEL / 2, bottom + 34), 13, &INK, HPos::Center)
    }

    fn bar(
        &self,
        record: &Record,
        row: Row,
        column: Column,
        (left, top): (i32, i32),
        scale: &Scale,
    ) -> anyhow::Result<()> {
        let colour = colour(column);
        let (bottom, middle) = (top + BAR, top + BAR / 2);
        let endless = |text: &str| {
            self.faint_area((left, top), (left + PANEL, bottom), &colour)?;
            self.words(text, (left + PANEL - 4, middle), 11, &INK, HPos::Right)
        };
        let watched = record.cell(row, column).map_or(0, |cell| cell.watched_seconds);
        match record.outcome(row, column) {
            Outcome::Leader(median, worst) => {
                // A new leader at once is still a bar.
                self.area((left, top), (left + scale.pixels(median).max(2), bottom), &colour)?;
                let worst_at = worst.map_or(left + PANEL, |worst| left + scale.pixels(worst));
                self.line((left + scale.pixels(median), middle), (worst_at, middle), &INK, 1)?;
                self.line((worst_at, top + 2), (worst_at, bottom - 2), &INK, 1)?;
                if worst.is_none() {
                    self.words("once never", (left + PANEL - 4, middle), 11, &INK, HPos::Right)?;
                }
            }
            Outcome::Kept if row == Row::CutOffFromPeers => endless("none: who has the lock goes on")?,
            Outcome::Kept => endless(&format!("never: the old one still believes after {watched} s"))?,
            Outcome::Nobody => endless(&format!("never: nobody leads after {watched} s"))?,
            Outcome::DidNotStart => {
                return self.words(
                    &format!("{}: did not start", column.label()),
                    (left + 4, middle),
                    11,
                    &GREY,
                    HPos::Left,
                );
            }
            Outcome::Absent => return self.words("has no worker", (left + 4, middle), 11, &GREY, HPos::Left),
            Outcome::Unknown => return self.words("not measured", (left + 4, middle), 11, &GREY, HPos::Left),
        }
        let Some(cell) = record.cell(row, column) else { return Ok(()) };
        if let [Some(median), _] = cell.believed() {
            let x = left + scale.pixels(median);
            self.line((x, top - 1), (x, bottom + 1), &INK, 3)?;
        }
        let ([from, _], both) = (median_and_worst(&cell.leaders()), cell.both());
        if let (Some(from), true) = (from, both > 0.0) {
            // Nowhere else on the picture is red.
            let from = left + scale.pixels(from);
            self.area((from, top), ((from + scale.pixels(both)).min(left + PANEL), bottom), &RED)?;
            self.words(&format!("two at once: {both:.0} s"), (left + PANEL - 4, middle), 11, &INK, HPos::Right)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::measured::tests::{cell, record};
    use super::*;

    #[test]
    fn what_never_came_and_what_did_not_start_is_said() {
        let mut script = cell(Row::PowerLost, Column::EtcdScript, &[]);
        script.did_not_start = Some("no module".to_owned());
        let svg = draw(&record(vec![
            script,
            cell(Row::PowerLost, Column::Rados(4), &[(Some(4.0), Some(0.0)), (Some(4.4), Some(0.0))]),
            cell(Row::CutOffFromStore, Column::SambaRados(9), &[(None, None)]),
            cell(Row::StoreFrozen, Column::Rados(9), &[(None, Some(8.0))]),
        ]))
        .unwrap();
        for words in
            ["ctdb_etcd_lock: did not start", "the old one still believes after 45 s", "nobody leads", "has no worker"]
        {
            assert!(svg.contains(words), "{words}");
        }
    }

    #[test]
    fn two_at_once_are_shown() {
        let mut cell = cell(Row::CutOff, Column::SambaRados(9), &[(Some(32.0), None)]);
        assert!(!draw(&record(vec![cell.clone()])).unwrap().contains("two at once"));
        cell.runs[0].both = 28.2;
        assert!(draw(&record(vec![cell])).unwrap().contains("two at once: 28 s"));
    }

    #[test]
    fn the_axis_reaches_to_all_that_came() {
        let record = record(vec![cell(Row::PowerLost, Column::Rados(4), &[(Some(21.0), Some(0.0)), (None, None)])]);
        let scale = Scale::of(&record);
        assert_eq!((scale.ticks().count(), scale.pixels(25.0)), (6, PANEL));
    }
}
