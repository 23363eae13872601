//! The screen of a session that runs, kept for little: as the sequences that drew it, and what was
//! put out since.
//!
//! Nothing is drawn while output comes. When there is enough of it, or when somebody asks, it is drawn
//! and the screen becomes sequences again. What a flood has scrolled away is never drawn.

use super::model::Model;
use super::plain;
use super::screen;

/// Most output that waits to be drawn.
const MAX_FRESH: usize = 64 << 10;
/// Less than this stays as it came while the session is silent.
const SMALL: usize = 4 << 10;
/// Most changes of the size among it.
const MAX_RESIZES: usize = 32;

/// What a terminal shows, and how large it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScreenSnapshot {
    /// Columns: the session's, or fewer where its terminal is larger than any that is drawn.
    pub cols: u16,
    /// Rows, likewise.
    pub rows: u16,
    /// Output that brings an empty terminal of this size into the session's state, in the middle of a
    /// control sequence or of a character if need be. As hostile as the output that it was made from.
    pub bytes: Vec<u8>,
}

/// A screen that is not drawn yet.
#[derive(Debug)]
pub(super) struct LazyScreen {
    size: (u16, u16),
    /// What draws an earlier state on an empty terminal.
    base: Vec<u8>,
    /// Whether plain output scrolls that state away as a whole.
    is_plain: bool,
    /// Output since.
    fresh: Vec<u8>,
    /// Sizes from these places in it on.
    resizes: Vec<(usize, (u16, u16))>,
    /// How much was drawn.
    drawn: u64,
}

impl LazyScreen {
    /// An empty one of this size in characters.
    pub(super) fn new(size: (u16, u16)) -> Self {
        Self {
            size,
            base: Vec::new(),
            is_plain: true,
            fresh: Vec::new(),
            resizes: Vec::new(),
            drawn: 0,
        }
    }

    /// One that shows this.
    pub(super) fn of(snapshot: ScreenSnapshot) -> Self {
        Self {
            base: snapshot.bytes,
            // That is known when it is drawn.
            is_plain: false,
            ..Self::new((snapshot.cols, snapshot.rows))
        }
    }

    /// How much output was drawn, in bytes: what it takes to come to this screen again.
    pub(super) fn drawn(&self) -> u64 {
        self.drawn
    }

    /// Takes output.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = MAX_FRESH.saturating_sub(self.fresh.len());
            let (head, tail) = bytes.split_at(room.min(bytes.len()));
            self.fresh.extend_from_slice(head);
            bytes = tail;
            if self.fresh.len() >= MAX_FRESH && !self.thin() {
                self.draw();
            }
        }
    }

    /// The terminal has another size from here on.
    pub(super) fn resize(&mut self, cols: u16, rows: u16) {
        let at = self.fresh.len();
        match self.resizes.last_mut() {
            Some((last, size)) if *last == at => *size = (cols, rows),
            _ => self.resizes.push((at, (cols, rows))),
        }
        if self.resizes.len() > MAX_RESIZES {
            self.draw();
        }
    }

    /// Whether its size was the last thing that changed: another one may take its place.
    pub(super) fn is_resizing(&self) -> bool {
        let last = self.resizes.last();
        last.is_some_and(|(at, _)| *at == self.fresh.len())
    }

    /// What it shows.
    pub(super) fn snapshot(&mut self) -> ScreenSnapshot {
        self.draw();
        let Some((_, (cols, rows))) = self.resizes.last() else {
            return ScreenSnapshot {
                cols: self.size.0,
                rows: self.size.1,
                bytes: self.base.clone(),
            };
        };
        // To be seen, and not to stay: another size may follow before any output does.
        let mut resized = Self::of(ScreenSnapshot {
            cols: self.size.0,
            rows: self.size.1,
            bytes: self.base.clone(),
        });
        resized.redraw(&[], &[(0, (*cols, *rows))]);
        ScreenSnapshot {
            cols: resized.size.0,
            rows: resized.size.1,
            bytes: resized.base,
        }
    }

    /// Gives memory back that a silent session does not need.
    pub(super) fn rest(&mut self) {
        if self.fresh.len() > SMALL {
            self.draw();
        }
        self.base.shrink_to_fit();
        self.fresh.shrink_to_fit();
        self.resizes.shrink_to_fit();
    }

    /// Bytes of memory that it holds.
    pub(super) fn held(&self) -> usize {
        self.base.capacity() + self.fresh.capacity()
    }

    /// Leaves out what was scrolled away, without drawing. Whether that has made room.
    fn thin(&mut self) -> bool {
        let is_flood = self.is_plain
            && self.resizes.is_empty()
            && plain::plain_len(&self.fresh) == self.fresh.len();
        let Some((colours, tail)) = is_flood
            .then(|| skip(&self.fresh, self.size.1))
            .flatten()
            .filter(|(_, tail)| *tail > MAX_FRESH / 2)
        else {
            return false;
        };
        self.fresh.splice(..tail, colours);
        true
    }

    /// Draws what is fresh. A size that nothing was put out at yet goes on waiting.
    fn draw(&mut self) {
        if self.fresh.is_empty() {
            return;
        }
        let mut fresh = std::mem::take(&mut self.fresh);
        let mut resizes = std::mem::take(&mut self.resizes);
        let waiting = resizes.pop_if(|(at, _)| *at == fresh.len());
        self.redraw(&fresh, &resizes);
        self.resizes.extend(waiting.map(|(_, size)| (0, size)));
        // The room is used again.
        fresh.clear();
        self.fresh = fresh;
    }

    fn redraw(&mut self, fresh: &[u8], resizes: &[(usize, (u16, u16))]) {
        let Ok(mut model) = Model::new(self.size) else {
            return;
        };
        model.feed(&self.base, &mut ());
        let mut at = 0;
        for (next, (cols, rows)) in resizes {
            self.drawn += feed(&mut model, fresh.get(at..*next).unwrap_or_default());
            model.resize(*cols, *rows);
            at = *next;
        }
        self.drawn += feed(&mut model, fresh.get(at..).unwrap_or_default());
        let (text, partial) = model.dump();
        self.base.clear();
        self.base
            .extend_from_slice(screen::seven_bit(&text).as_bytes());
        self.base.extend_from_slice(partial);
        self.size = model.size();
        self.is_plain = model.is_plain();
    }
}

/// Feeds a model, without what is scrolled away. How much was fed.
fn feed(model: &mut Model, mut bytes: &[u8]) -> u64 {
    let mut fed = 0;
    while !bytes.is_empty() {
        let length = if model.is_plain() {
            plain::plain_len(bytes)
        } else {
            0
        };
        let (run, rest) = bytes.split_at(length);
        let (colours, tail) = skip(run, model.size().1).unwrap_or_default();
        let run = run.get(tail..).unwrap_or_default();
        model.feed(&colours, &mut ());
        model.feed(run, &mut ());
        // What follows is not plain: on to where that may begin again.
        let other = rest
            .iter()
            .position(|byte| *byte == b'\n')
            .map_or(rest.len(), |feed| feed + 1);
        let (other, rest) = rest.split_at(other);
        model.feed(other, &mut ());
        fed += (run.len() + other.len()) as u64;
        bytes = rest;
    }
    fed
}

/// The colours after what can be left out of plain output, and where what cannot begins.
fn skip(plain: &[u8], rows: u16) -> Option<(Vec<u8>, usize)> {
    let tail = plain::tail_start(plain, rows)?;
    let colours = plain::colours(plain.get(..tail)?)?;
    Some((colours, tail))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum ScreenStep {
        Output(String),
        Resize(u16, u16),
        Look,
        Rest,
    }

    fn piece() -> impl Strategy<Value = String> {
        prop_oneof![
            3 => "[ -~]{0,30}",
            2 => "[ -~]{0,6}\r\n",
            1 => "[\\x00-\\x7f]{0,6}",
            4 => "\x1b[\\[][?>]?[0-9]{0,2}(;[0-9]{1,2}){0,2}[ !]?[@-~]",
            1 => "\x1b[\\[]\\?(6|7|25|1047|1048|1049|47)[hl]",
            1 => "\x1b[78DMEHc=>]",
            1 => "[漢字éü]{0,4}",
            1 => ".{0,4}",
        ]
    }

    /// Lines, many times.
    fn flood() -> impl Strategy<Value = String> {
        let line = prop_oneof![
            8 => "[ -~]{0,30}\r\n",
            1 => "\x1b[\\[][0-9;]{0,4}[mK]",
            1 => "[ü漢\t]{0,30}\r\n",
            1 => piece(),
        ];
        (proptest::collection::vec(line, 1..6), 1..400usize)
            .prop_map(|(lines, times)| lines.concat().repeat(times))
    }

    fn steps() -> impl Strategy<Value = Vec<ScreenStep>> {
        let step = prop_oneof![
            3 => flood().prop_map(ScreenStep::Output),
            6 => piece().prop_map(ScreenStep::Output),
            1 => (1..40u16, 1..12u16).prop_map(|(cols, rows)| ScreenStep::Resize(cols, rows)),
            1 => Just(ScreenStep::Look),
            1 => Just(ScreenStep::Rest),
        ];
        proptest::collection::vec(step, 0..12)
    }

    /// What a terminal of this size dumps which was fed this.
    fn redrawn(snapshot: &ScreenSnapshot) -> (String, Vec<u8>) {
        let mut model = Model::new((snapshot.cols, snapshot.rows)).unwrap();
        model.feed(&snapshot.bytes, &mut ());
        let (text, partial) = model.dump();
        (text, partial.to_vec())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// What is left out and what waits make no difference to what is seen, then or later.
        #[test]
        fn it_is_the_screen_of_one_who_drew_all(steps in steps()) {
            let mut whole = Model::new((20, 5)).unwrap();
            let mut lazy = LazyScreen::new((20, 5));
            for step in &steps {
                match step {
                    ScreenStep::Output(text) => {
                        whole.feed(text.as_bytes(), &mut ());
                        lazy.feed(text.as_bytes());
                    }
                    ScreenStep::Resize(cols, rows) => {
                        whole.resize(*cols, *rows);
                        lazy.resize(*cols, *rows);
                    }
                    ScreenStep::Look => {
                        lazy.snapshot();
                    }
                    ScreenStep::Rest => lazy.rest(),
                }
            }
            let (text, partial) = whole.dump();
            let expected = (text, partial.to_vec());
            prop_assert_eq!(redrawn(&lazy.snapshot()), expected);
        }
    }

    #[test]
    fn a_flood_is_held_and_drawn_in_part_alone() {
        let mut lazy = LazyScreen::new((80, 24));
        let mut most = 0;
        for line in 0..100_000 {
            lazy.feed(format!("\x1b[3{}mline {line}\x1b[m\r\n", line % 8).as_bytes());
            most = most.max(lazy.held());
        }
        assert!(most <= 2 * MAX_FRESH, "{most}");
        // Nothing was drawn yet.
        assert!(lazy.base.is_empty());
        let shown = String::from_utf8(lazy.snapshot().bytes).unwrap();
        assert!(shown.contains("line 99999") && !shown.contains("line 99970"));
        lazy.rest();
        assert!(lazy.held() < 4096, "{}", lazy.held());
    }

    #[test]
    fn a_storm_of_sizes_is_held_in_part_alone() {
        let mut lazy = LazyScreen::new((80, 24));
        for size in 1..10_000 {
            lazy.feed(b"x");
            lazy.resize(size % 100 + 1, 20);
            assert!(lazy.resizes.len() <= MAX_RESIZES);
        }
    }
}
