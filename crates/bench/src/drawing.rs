//! Growth as pictures: one small SVG a quantity, the number of tickets on a logarithmic axis.

use std::fmt::Write;

use crate::{Growth, Stage};

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 280.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 44.0;
/// How far the first and last point stand off the sides, so that what is written over them meets no axis.
const INSET: f64 = 24.0;

/// A quantity: its file's name, its title, and where it stands in a stage.
type Quantity = (&'static str, &'static str, fn(&Stage) -> f64);

const QUANTITIES: [Quantity; 4] = [
    ("growth-commands", "命令 durable commands/s, 128 writers", |stage| stage.commands_per_s),
    ("growth-fold", "折叠 commits/s into all read models", |stage| stage.fold_commits_per_s),
    ("growth-restart", "重启 seconds to the first notice", |stage| stage.restart_s),
    ("growth-memory", "内存 peak memory, MiB", |stage| stage.peak_memory_mib as f64),
];

/// The pictures: a file name without its ending, and the SVG.
pub fn draw(growth: &Growth) -> Vec<(&'static str, String)> {
    let picture = |(name, title, of): &Quantity| {
        let points = growth.stages.iter().map(|stage| (stage.tickets as f64, of(stage))).collect::<Vec<_>>();
        (*name, svg(title, &points))
    };
    QUANTITIES.iter().map(picture).collect()
}

fn svg(title: &str, points: &[(f64, f64)]) -> String {
    let most = round_up(points.iter().map(|(_, y)| *y).fold(0.0, f64::max));
    let decades = points.iter().map(|(x, _)| x.max(1.0).log10());
    let (first, last) = decades.fold((f64::MAX, f64::MIN), |(first, last), at| (first.min(at), last.max(at)));
    let span = (last - first).max(1.0);
    let x = |tickets: f64| {
        LEFT + INSET + (tickets.max(1.0).log10() - first) / span * (WIDTH - LEFT - RIGHT - 2.0 * INSET)
    };
    let y = |value: f64| HEIGHT - BOTTOM - value / most * (HEIGHT - TOP - BOTTOM);
    let mut lines = String::new();
    for part in 0..=4 {
        let value = most * f64::from(part) / 4.0;
        let at = y(value);
        let _ = writeln!(
            lines,
            "<line class=\"g\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text class=\"e\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            at + 4.0,
            short(value)
        );
    }
    let path: Vec<_> =
        points.iter().map(|(tickets, value)| format!("{:.1},{:.1}", x(*tickets), y(*value))).collect();
    let _ = writeln!(lines, "<polyline class=\"l\" points=\"{}\"/>", path.join(" "));
    for (tickets, value) in points {
        let (at, over) = (x(*tickets), y(*value));
        let _ = writeln!(
            lines,
            "<circle cx=\"{at:.1}\" cy=\"{over:.1}\" r=\"4\"/>\
             <text class=\"v\" x=\"{at:.1}\" y=\"{:.1}\">{}</text>\
             <text class=\"m\" x=\"{at:.1}\" y=\"{:.1}\">{}</text>",
            over - 9.0,
            short(*value),
            HEIGHT - BOTTOM + 20.0,
            short(*tickets)
        );
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">\n\
         <style>text{{font:12px system-ui,sans-serif;fill:#333}}.t{{font-size:14px;font-weight:600}}.e{{text-anchor:end}}\
         .m,.v{{text-anchor:middle}}.g{{stroke:#ddd}}.l{{fill:none;stroke:#1f6feb;stroke-width:2}}circle{{fill:#1f6feb}}</style>\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n<text class=\"t\" x=\"{LEFT}\" y=\"22\">{title}</text>\n{lines}\
         <text class=\"m\" x=\"{:.1}\" y=\"{:.1}\">工单数 tickets</text>\n</svg>\n",
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 6.0
    )
}

/// The next of 1, 2, 4, 5, 8 or 10 times a power of ten.
fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.max(f64::MIN_POSITIVE).log10().floor());
    [1.0, 2.0, 4.0, 5.0, 8.0, 10.0]
        .into_iter()
        .map(|step| step * power)
        .find(|up| *up >= value)
        .unwrap_or(value)
}

fn short(value: f64) -> String {
    let digits = |value: f64| {
        if value == 0.0 || value >= 10.0 { format!("{value:.0}") } else { format!("{value:.1}") }
    };
    match value {
        value if value >= 1e6 => format!("{} M", digits(value / 1e6)),
        value if value >= 1e4 => format!("{} k", digits(value / 1e3)),
        value if value >= 0.1 || value == 0.0 => digits(value),
        value => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(tickets: usize, commands_per_s: f64) -> Stage {
        Stage { tickets, commands_per_s, fold_commits_per_s: 1.0, restart_s: 0.02, peak_memory_mib: 300 }
    }

    #[test]
    fn each_stage_is_a_point_within_the_picture() {
        let growth = Growth { stages: vec![stage(10_000, 31_000.0), stage(1_000_000, 12_000.0)] };
        let pictures = draw(&growth);
        assert_eq!(pictures.len(), 4);
        let (name, svg) = &pictures[0];
        assert_eq!((*name, svg.matches("<circle").count()), ("growth-commands", 2));
        assert!(svg.contains(">31 k<") && svg.contains(">1.0 M<"), "{svg}");
        assert!(svg.contains("cx=\"100.0\"") && svg.contains("cx=\"512.0\""), "{svg}");
    }

    #[test]
    fn an_axis_ends_at_a_round_number() {
        assert_eq!([0.03, 7.0, 31_000.0, 100.0].map(round_up), [0.04, 8.0, 40_000.0, 100.0]);
    }
}
