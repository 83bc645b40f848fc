//! Draws how the cost grows, as SVG.

use std::fmt::Write;

use crate::growth::{Point, Series};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 36.0;
const BOTTOM: f64 = 44.0;
const COLOURS: [&str; 2] = ["#1f6f8b", "#c4572b"];

type Cost = fn(&Point) -> f64;

fn ours(point: &Point) -> f64 {
    point.ours.median
}

fn floor(point: &Point) -> f64 {
    point.floor.median
}

/// One line per series over a logarithmic axis, and a broken one for its floor.
pub(crate) fn draw(series: &[Series]) -> String {
    let points = || series.iter().flat_map(|one| &one.points);
    let log = |number: u64| (number.max(1) as f64).log10();
    let first = points().map(|point| log(point.number)).fold(f64::MAX, f64::min);
    let last = points().map(|point| log(point.number)).fold(f64::MIN, f64::max);
    let costs = |point: &Point| point.ours.median.max(point.floor.median);
    let highest = points().map(costs).fold(0.0, f64::max).max(1.0).ceil();
    let x = |number: u64| {
        LEFT + (log(number) - first) / (last - first).max(1.0) * (WIDTH - LEFT - RIGHT)
    };
    let y = |cost: f64| HEIGHT - BOTTOM - cost / highest * (HEIGHT - TOP - BOTTOM);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for step in 0..=4 {
        let cost = highest * f64::from(step) / 4.0;
        let at = y(cost);
        line(&mut svg, (LEFT, at), (WIDTH - RIGHT, at));
        text(&mut svg, (LEFT - 6.0, at + 4.0), "end", "black", &format!("{cost:.1}"));
    }
    let mut number = 1_u64;
    while log(number) <= last {
        if log(number) >= first {
            let name = format!("10^{:.0}", log(number));
            text(&mut svg, (x(number), HEIGHT - BOTTOM + 18.0), "middle", "black", &name);
        }
        number *= 10;
    }
    let axis = (WIDTH / 2.0, HEIGHT - 8.0);
    text(&mut svg, axis, "middle", "black", "events N, or partitions P");
    text(&mut svg, (8.0, 16.0), "start", "black", "µs per event");
    for ((one, colour), row) in series.iter().zip(COLOURS).zip([16.0, 30.0]) {
        for (style, cost) in [("", ours as Cost), (" stroke-dasharray=\"5 4\"", floor as Cost)] {
            let at = |point: &Point| format!("{:.1},{:.1}", x(point.number), y(cost(point)));
            let path: Vec<String> = one.points.iter().map(at).collect();
            let path = path.join(" ");
            let _ = writeln!(
                svg,
                "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" \
                 stroke-width=\"2\"{style}/>"
            );
        }
        let held = if one.variable == "N" { "P" } else { "N" };
        let name = format!("over {}, at {held} = {}", one.variable, one.fixed);
        text(&mut svg, (WIDTH - RIGHT, row), "end", colour, &name);
    }
    svg + "</svg>\n"
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64)) {
    let ((x1, y1), (x2, y2)) = (from, to);
    let _ = writeln!(
        svg,
        "<line x1=\"{x1}\" y1=\"{y1:.1}\" x2=\"{x2}\" y2=\"{y2:.1}\" stroke=\"#dddddd\"/>"
    );
}

fn text(svg: &mut String, at: (f64, f64), anchor: &str, colour: &str, text: &str) {
    let (x, y) = at;
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{text}</text>"
    );
}
