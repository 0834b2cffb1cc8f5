//! A stretch of a campaign as a picture: a row a node, with a bar wherever it believed; below, the faults.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::belief::{Belief, Ended};
use super::checker::Hit;
use super::event::Moment;
use super::record::Stretch;

const WIDTH: i32 = 1200;
const LEFT: i32 = 80;
const RIGHT: i32 = 20;
const TOP: i32 = 66;
const ROW: i32 = 26;
const BAR: i32 = 14;
const LANE: i32 = 17;
/// The list of faults, in columns.
const COLUMNS: usize = 3;
const LINE: i32 = 16;
const MARGIN: i32 = 14;

const HOLDS: RGBColor = RGBColor(46, 125, 80);
const LOST: RGBColor = RGBColor(198, 40, 40);
const FAULT: RGBColor = RGBColor(224, 160, 60);
const NODE_FAULT: RGBColor = RGBColor(120, 120, 190);
const GRID: RGBColor = RGBColor(225, 225, 225);
const INK: RGBColor = RGBColor(40, 40, 40);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws it.
///
/// # Errors
/// Where the file cannot be written.
pub fn draw(stretch: &Stretch, path: &Path) -> Result<()> {
    let mut hits: Vec<&Hit> = stretch.hits.iter().collect();
    hits.sort_by_key(|hit| hit.from);
    let lanes = lanes(&hits);
    let rows = i32::try_from(stretch.nodes)?;
    let lane_count = i32::try_from(lanes.iter().max().map_or(0, |&lane| lane + 1))?;
    let lines = i32::try_from(hits.len().div_ceil(COLUMNS))?;
    let faults_at = TOP + rows * ROW + 16;
    let axis_at = faults_at + lane_count * LANE + 6;
    let list_at = axis_at + 46;
    let height = list_at + lines * LINE + MARGIN;
    let size = (u32::try_from(WIDTH)?, u32::try_from(height)?);
    let area = SVGBackend::new(path, size).into_drawing_area();
    let picture = Picture { area, stretch };
    picture.area.fill(&WHITE).map_err(say)?;
    picture.axis(axis_at)?;
    picture.nodes(&hits)?;
    picture.faults(&hits, &lanes, faults_at)?;
    picture.list(&hits, list_at)?;
    picture.head()?;
    picture.area.present().map_err(say)
}

struct Picture<'a> {
    area: Area<'a>,
    stretch: &'a Stretch,
}

impl Picture<'_> {
    fn head(&self) -> Result<()> {
        let Stretch { backend, seed, nodes, from, until, .. } = self.stretch;
        let seconds = until.since(*from).as_secs();
        let title = format!(
            "{nodes} nodes, one lock in {backend}, and faults at random: {seconds} s of the campaign with seed {seed}"
        );
        self.text(&title, (MARGIN, 22), 17, HPos::Left)?;
        let mut x = MARGIN;
        for (colour, word, width) in [
            (HOLDS, "a node believes that it holds", 215),
            (LOST, "the helper has told it: lost (end of the pipe)", 305),
            (FAULT, "fault of the store or the network", 235),
            (NODE_FAULT, "fault of one node", 220),
        ] {
            self.rectangle((x, 40), (x + 14, 52), colour.filled())?;
            self.text(word, (x + 20, 46), 13, HPos::Left)?;
            x += width;
        }
        Ok(())
    }

    fn axis(&self, bottom: i32) -> Result<()> {
        let seconds = self.stretch.until.since(self.stretch.from).as_secs();
        for second in (0..=seconds).step_by(5) {
            let x = self.x(self.stretch.from + std::time::Duration::from_secs(second));
            self.line((x, TOP - 4), (x, bottom), GRID)?;
            self.text(&second.to_string(), (x, bottom + 10), 12, HPos::Center)?;
        }
        self.text("seconds", ((LEFT + WIDTH - RIGHT) / 2, bottom + 27), 12, HPos::Center)
    }

    fn nodes(&self, hits: &[&Hit]) -> Result<()> {
        for node in 0..self.stretch.nodes {
            let middle = TOP + i32::try_from(node)? * ROW + ROW / 2;
            self.text(&format!("node {node}"), (LEFT - 10, middle), 13, HPos::Right)?;
            self.line((LEFT, middle), (WIDTH - RIGHT, middle), GRID)?;
            for hit in hits.iter().filter(|hit| hit.node == Some(node)) {
                let (from, until) = self.span(hit.from, hit.until);
                self.rectangle((from, middle - 11), (until, middle + 11), NODE_FAULT.mix(0.3).filled())?;
            }
            for belief in self.stretch.beliefs.iter().filter(|belief| belief.node == node) {
                self.belief(belief, middle)?;
            }
        }
        Ok(())
    }

    fn belief(&self, belief: &Belief, middle: i32) -> Result<()> {
        let (from, until) = self.span(belief.from, belief.until);
        let half = BAR / 2;
        self.rectangle((from, middle - half), (until, middle + half), HOLDS.filled())?;
        if belief.ended == Ended::Lost && belief.until < self.stretch.until {
            self.rectangle((until - 1, middle - half - 3), (until + 2, middle + half + 3), LOST.filled())?;
        }
        Ok(())
    }

    fn faults(&self, hits: &[&Hit], lanes: &[usize], top: i32) -> Result<()> {
        self.text("faults", (LEFT - 10, top + LANE / 2), 13, HPos::Right)?;
        for (number, (hit, &lane)) in hits.iter().zip(lanes).enumerate() {
            let (from, until) = self.span(hit.from, hit.until);
            let y = top + i32::try_from(lane)? * LANE;
            let colour = if hit.node.is_some() { NODE_FAULT } else { FAULT };
            self.rectangle((from, y), (until, y + LANE - 3), colour.mix(0.55).filled())?;
            self.text(&(number + 1).to_string(), (from + 3, y + LANE / 2 - 1), 11, HPos::Left)?;
        }
        Ok(())
    }

    fn list(&self, hits: &[&Hit], top: i32) -> Result<()> {
        let lines = hits.len().div_ceil(COLUMNS).max(1);
        for (number, hit) in hits.iter().enumerate() {
            let column = i32::try_from(number / lines)? * (WIDTH - 2 * MARGIN) / i32::try_from(COLUMNS)?;
            let y = top + i32::try_from(number % lines)? * LINE;
            let mark = if hit.whom.is_empty() { "" } else { ": " };
            self.text(
                &format!("{}  {}{mark}{}", number + 1, hit.kind, hit.whom),
                (MARGIN + column, y),
                12,
                HPos::Left,
            )?;
        }
        Ok(())
    }

    /// Where in the picture these two times are, one pixel apart at least.
    fn span(&self, from: Moment, until: Moment) -> (i32, i32) {
        let (from, until) = (self.x(from), self.x(until));
        (from, until.max(from + 1))
    }

    fn x(&self, at: Moment) -> i32 {
        let Stretch { from, until, .. } = self.stretch;
        let part = at.since(*from).as_secs_f64() / until.since(*from).as_secs_f64();
        // Pixels: what is outside is cut.
        #[expect(clippy::cast_possible_truncation, reason = "between 0 and the width")]
        let x = (part.clamp(0.0, 1.0) * f64::from(WIDTH - LEFT - RIGHT)).round() as i32;
        LEFT + x
    }

    fn rectangle(&self, from: (i32, i32), to: (i32, i32), style: ShapeStyle) -> Result<()> {
        self.area.draw(&Rectangle::new([from, to], style)).map_err(say)
    }

    fn line(&self, from: (i32, i32), to: (i32, i32), colour: RGBColor) -> Result<()> {
        self.area.draw(&PathElement::new([from, to], colour)).map_err(say)
    }

    fn text(&self, text: &str, at: (i32, i32), size: u32, side: HPos) -> Result<()> {
        let style = TextStyle::from(("sans-serif", size)).color(&INK).pos(Pos::new(side, VPos::Center));
        self.area.draw(&Text::new(text.to_owned(), at, style)).map_err(say)
    }
}

/// For each fault the first lane that is free.
fn lanes(hits: &[&Hit]) -> Vec<usize> {
    let mut busy: Vec<Moment> = Vec::new();
    let lane = |hit: &&Hit| {
        let free = busy.iter().position(|&until| until <= hit.from).unwrap_or(busy.len());
        // Room for the number of a short one.
        let until = hit.until.max(hit.from + std::time::Duration::from_secs(1));
        if free == busy.len() {
            busy.push(until)
        } else {
            busy[free] = until
        }
        free
    };
    hits.iter().map(lane).collect()
}

fn say(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("draw the picture: {error}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::campaign::belief::tests::ms;

    fn hit(from: u64, until: u64, node: Option<usize>) -> Hit {
        let (from, until) = (ms(from), ms(until));
        let whom = node.map_or(String::new(), |node| format!("node {node}"));
        Hit { fault: 0, kind: "leader frozen".to_owned(), node, whom, from, there: from, until }
    }

    #[test]
    fn faults_that_overlap_have_lanes_of_their_own() {
        let hits = [hit(0, 3000, None), hit(1000, 1100, None), hit(1500, 1600, None), hit(3000, 4000, None)];
        assert_eq!(lanes(&hits.iter().collect::<Vec<_>>()), [0, 1, 2, 0]);
    }

    #[test]
    fn nodes_faults_and_seconds_are_in_the_picture() {
        let belief = |node, ended| Belief { node, lock: 0, from: ms(2000), until: ms(7000), ended, thawed: None };
        let stretch = Stretch {
            backend: "etcd".to_owned(),
            seed: 7,
            nodes: 3,
            from: ms(1000),
            until: ms(1000) + Duration::from_secs(10),
            beliefs: vec![belief(0, Ended::Lost), belief(1, Ended::Released)],
            hits: vec![hit(500, 4000, None), hit(3000, 3001, Some(2))],
        };
        let file = tempfile::NamedTempFile::new().unwrap();
        draw(&stretch, file.path()).unwrap();
        let text = std::fs::read_to_string(file.path()).unwrap();
        for wanted in
            ["node 0", "node 2", "seconds", "1  leader frozen", "2  leader frozen: node 2", "10 s of the campaign"]
        {
            assert!(text.contains(wanted), "{wanted}");
        }
        let of = |colour: RGBColor| format!("fill=\"#{:02X}{:02X}{:02X}\"", colour.0, colour.1, colour.2);
        // Two bars, and that of the legend; one loss, and that of the legend.
        assert_eq!([HOLDS, LOST].map(|colour| text.matches(&of(colour)).count()), [3, 2]);
    }
}
