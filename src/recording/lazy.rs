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
        }
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

    /// What it shows.
    pub(super) fn snapshot(&mut self) -> ScreenSnapshot {
        self.draw();
        ScreenSnapshot {
            cols: self.size.0,
            rows: self.size.1,
            bytes: self.base.clone(),
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

    /// Draws what is fresh.
    fn draw(&mut self) {
        if self.fresh.is_empty() && self.resizes.is_empty() {
            return;
        }
        let fresh = std::mem::take(&mut self.fresh);
        let resizes = std::mem::take(&mut self.resizes);
        let Ok(mut model) = Model::new(self.size) else {
            return;
        };
        model.feed(&self.base, &mut ());
        let mut at = 0;
        for (next, (cols, rows)) in resizes {
            feed(&mut model, fresh.get(at..next).unwrap_or_default());
            model.resize(cols, rows);
            at = next;
        }
        feed(&mut model, fresh.get(at..).unwrap_or_default());
        self.base.clear();
        let (text, partial) = model.dump();
        self.base
            .extend_from_slice(screen::seven_bit(&text).as_bytes());
        self.base.extend_from_slice(partial);
        self.size = model.size();
        self.is_plain = model.is_plain();
        // The room is used again.
        self.fresh = fresh;
        self.fresh.clear();
    }
}

/// Feeds a model, without what is scrolled away.
fn feed(model: &mut Model, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let length = if model.is_plain() {
            plain::plain_len(bytes)
        } else {
            0
        };
        let (run, rest) = bytes.split_at(length);
        match skip(run, model.size().1) {
            Some((colours, tail)) => {
                model.feed(&colours, &mut ());
                model.feed(run.get(tail..).unwrap_or_default(), &mut ());
            }
            None => model.feed(run, &mut ()),
        }
        // What follows is not plain: on to where that may begin again.
        let other = rest
            .iter()
            .position(|byte| *byte == b'\n')
            .map_or(rest.len(), |feed| feed + 1);
        let (other, rest) = rest.split_at(other);
        model.feed(other, &mut ());
        bytes = rest;
    }
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
    enum Step {
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

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => flood().prop_map(Step::Output),
            6 => piece().prop_map(Step::Output),
            1 => (1..40u16, 1..12u16).prop_map(|(cols, rows)| Step::Resize(cols, rows)),
            1 => Just(Step::Look),
            1 => Just(Step::Rest),
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
                    Step::Output(text) => {
                        whole.feed(text.as_bytes(), &mut ());
                        lazy.feed(text.as_bytes());
                    }
                    Step::Resize(cols, rows) => {
                        whole.resize(*cols, *rows);
                        lazy.resize(*cols, *rows);
                    }
                    Step::Look => {
                        // It is settled at this size then.
                        lazy.snapshot();
                        whole.dump();
                    }
                    Step::Rest => lazy.rest(),
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
