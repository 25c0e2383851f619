//! ENGINE: what the reader of a FIFO gets: a line for each event, in order, and the last state of every object also when
//! readers come and go. What is written stays in the pipe until somebody reads it; what does not fit waits here. When
//! the last reader leaves, whatever of the states has been read is owed to the next one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::event::{Event, Object};

/// Lines that wait for a reader at most; of more only the last states are kept.
const WAITING_MAX: usize = 4096;

/// The lines for one FIFO.
#[derive(Debug)]
pub(crate) struct FifoLines {
    /// Bytes that a pipe holds.
    capacity: u64,
    waiting: VecDeque<Line>,
    /// How much of the first one is written.
    begun: usize,
    /// Written and perhaps not read, each with the bytes written up to its end.
    unread: VecDeque<(u64, Line)>,
    written: u64,
    /// The state of each object, with its priority by now.
    states: BTreeMap<Object, Event>,
    /// Whose state has been read, but not by the next reader.
    owed: BTreeSet<Object>,
    left_out: u64,
}

#[derive(Clone, Debug)]
struct Line {
    object: Object,
    is_state: bool,
    text: Box<[u8]>,
}

impl Line {
    fn of(event: &Event) -> Self {
        Self {
            object: event.object.clone(),
            is_state: event.word.is_state(),
            text: event.to_line().into_bytes().into(),
        }
    }
}

impl FifoLines {
    /// For a pipe that holds so many bytes. Its first reader is owed these states.
    pub(crate) fn new(capacity: usize, states: &BTreeMap<Object, Event>) -> Self {
        Self {
            capacity: u64::try_from(capacity).unwrap_or(u64::MAX),
            waiting: VecDeque::new(),
            begun: 0,
            unread: VecDeque::new(),
            written: 0,
            states: states.clone(),
            owed: states.keys().cloned().collect(),
            left_out: 0,
        }
    }

    /// Something happened.
    pub(crate) fn push(&mut self, event: &Event) {
        note(&mut self.states, event);
        if event.word.is_state() {
            self.owed.remove(&event.object);
        }
        self.waiting.push_back(Line::of(event));
        if self.waiting.len() > WAITING_MAX {
            self.keep_last_states();
        }
    }

    /// Tells all states once more.
    pub(crate) fn repeat(&mut self) {
        self.owed.clear();
        self.waiting.extend(self.states.values().map(Line::of));
        if self.waiting.len() > WAITING_MAX {
            self.keep_last_states();
        }
    }

    /// What is to be written next.
    pub(crate) fn next(&self) -> Option<&[u8]> {
        self.waiting.front().and_then(|line| line.text.get(self.begun..))
    }

    /// So many bytes of it were.
    pub(crate) fn wrote(&mut self, bytes: usize) {
        self.written += u64::try_from(bytes).unwrap_or(u64::MAX);
        self.begun += bytes;
        if self.waiting.front().is_some_and(|line| line.text.len() <= self.begun)
            && let Some(line) = self.waiting.pop_front()
        {
            self.begun = 0;
            self.unread.push_back((self.written, line));
        }
        // What the pipe cannot hold any more was read.
        while self.unread.front().is_some_and(|(end, _)| end + self.capacity <= self.written) {
            self.unread.pop_front();
        }
    }

    /// There is a reader now.
    pub(crate) fn reader_came(&mut self) {
        let owed = core::mem::take(&mut self.owed);
        self.waiting.extend(owed.iter().filter_map(|object| self.states.get(object)).map(Line::of));
    }

    /// There is none any more, and so many bytes are in the pipe. True if the pipe has to be emptied: it begins within
    /// a line, and all that was in it is written again.
    pub(crate) fn reader_left(&mut self, bytes: usize) -> bool {
        let read = self.written.saturating_sub(u64::try_from(bytes).unwrap_or(u64::MAX));
        while self.unread.front().is_some_and(|(end, _)| *end <= read) {
            self.unread.pop_front();
        }
        let begins_at = |(end, line): &(u64, Line)| end - u64::try_from(line.text.len()).unwrap_or(0);
        let first = self
            .unread
            .front()
            .map(begins_at)
            .or_else(|| (self.begun > 0).then(|| self.written - u64::try_from(self.begun).unwrap_or(0)));
        let broken = first.is_some_and(|begin| begin < read);
        if broken {
            for (_, line) in core::mem::take(&mut self.unread).into_iter().rev() {
                self.waiting.push_front(line);
            }
            self.begun = 0;
        }
        let kept = self.waiting.iter().chain(self.unread.iter().map(|(_, line)| line));
        let kept: BTreeSet<&Object> = kept.filter(|line| line.is_state).map(|line| &line.object).collect();
        self.owed = self.states.keys().filter(|object| !kept.contains(object)).cloned().collect();
        broken
    }

    /// How many lines were left out since the last call.
    pub(crate) const fn take_left_out(&mut self) -> u64 {
        core::mem::replace(&mut self.left_out, 0)
    }

    /// Of what waits each object's last state and what came after it stay.
    fn keep_last_states(&mut self) {
        // What is begun is ended.
        let begun = if self.begun > 0 { self.waiting.pop_front() } else { None };
        let before = self.waiting.len();
        let mut told = BTreeSet::new();
        let mut kept = VecDeque::new();
        for line in core::mem::take(&mut self.waiting).into_iter().rev() {
            if line.is_state && told.insert(line.object.clone()) {
                kept.push_front(line);
            }
        }
        self.left_out += u64::try_from(before - kept.len()).unwrap_or(u64::MAX);
        self.waiting = kept;
        if let Some(line) = begun {
            self.waiting.push_front(line);
        }
    }
}

/// Keeps the state of each object, with its priority by now.
pub(crate) fn note(states: &mut BTreeMap<Object, Event>, event: &Event) {
    if event.is_last {
        states.remove(&event.object);
    } else if event.word.is_state() {
        states.insert(event.object.clone(), event.clone());
    } else if let Some(state) = states.get_mut(&event.object) {
        state.priority = event.priority;
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::Word;
    use super::*;
    use crate::prng::Prng;
    use crate::time::WallTime;

    const PIPE: usize = 200;

    fn event(name: &str, word: Word, priority: u8) -> Event {
        let object = Object::Instance(name.into());
        Event {
            object,
            word,
            priority,
            from: None,
            cause: None,
            at: WallTime::default(),
            is_last: word == Word::Deleted,
        }
    }

    /// A pipe with the lines' writer and a reader at times.
    struct Bench {
        lines: FifoLines,
        pipe: VecDeque<u8>,
    }

    impl Bench {
        fn new() -> Self {
            Self { lines: FifoLines::new(PIPE, &BTreeMap::new()), pipe: VecDeque::new() }
        }

        fn write(&mut self) {
            while let Some(bytes) = self.lines.next() {
                let room = (PIPE - self.pipe.len()).min(bytes.len());
                if room == 0 {
                    return;
                }
                self.pipe.extend(&bytes[..room]);
                self.lines.wrote(room);
            }
        }

        fn push(&mut self, event: &Event) {
            self.lines.push(event);
            self.write();
        }

        fn come(&mut self) {
            self.lines.reader_came();
            self.write();
        }

        fn read(&mut self, bytes: usize) -> String {
            let bytes = bytes.min(self.pipe.len());
            let read = self.pipe.drain(..bytes).collect();
            self.write();
            String::from_utf8(read).unwrap()
        }

        fn read_all(&mut self) -> String {
            let mut text = String::new();
            while !self.pipe.is_empty() {
                text += &self.read(PIPE);
            }
            text
        }

        fn leave(&mut self) {
            if self.lines.reader_left(self.pipe.len()) {
                self.pipe.clear();
                self.write();
            }
        }
    }

    #[test]
    fn what_nobody_has_read_the_next_reader_gets_and_nothing_twice() {
        let mut bench = Bench::new();
        bench.push(&event("A", Word::Backup, 100));
        bench.push(&event("A", Word::Master, 100));
        bench.come();
        assert_eq!(bench.read_all(), "INSTANCE \"A\" BACKUP 100\nINSTANCE \"A\" MASTER 100\n");
        bench.push(&event("A", Word::LowerPriorityReceived, 100));
        assert_eq!(bench.read_all(), "INSTANCE \"A\" MASTER_RX_LOWER_PRI 100\n");
    }

    #[test]
    fn a_reader_that_comes_gets_the_states_that_another_one_has_read() {
        let mut bench = Bench::new();
        bench.push(&event("A", Word::Master, 100));
        bench.push(&event("B", Word::Master, 100));
        bench.push(&event("C", Word::Master, 100));
        bench.come();
        bench.read_all();
        bench.push(&event("A", Word::MasterPriority, 120));
        bench.push(&event("C", Word::Deleted, 100));
        bench.read_all();
        bench.leave();
        bench.push(&event("B", Word::Fault, 100));
        bench.come();
        assert_eq!(bench.read_all(), "INSTANCE \"B\" FAULT 100\nINSTANCE \"A\" MASTER 120\n");
    }

    #[test]
    fn half_a_line_is_written_again() {
        let mut bench = Bench::new();
        bench.push(&event("A", Word::Backup, 100));
        bench.push(&event("A", Word::Master, 100));
        bench.come();
        bench.read(5);
        bench.leave();
        bench.come();
        assert_eq!(bench.read_all(), "INSTANCE \"A\" BACKUP 100\nINSTANCE \"A\" MASTER 100\n");
    }

    #[test]
    fn of_more_than_can_wait_the_last_states_stay() {
        let mut bench = Bench::new();
        for number in 0..=WAITING_MAX + 20 {
            let word = if number % 2 == 0 { Word::Backup } else { Word::Master };
            bench.push(&event(if number < 9 { "A" } else { "B" }, word, 1));
        }
        assert!(bench.lines.take_left_out() > 4000);
        bench.come();
        let text = bench.read_all();
        let last = |name: &str| text.lines().rfind(|line| line.contains(name)).unwrap().to_owned();
        assert_eq!(last("\"A\""), "INSTANCE \"A\" BACKUP 1");
        assert_eq!(last("\"B\""), "INSTANCE \"B\" BACKUP 1");
    }

    #[test]
    fn all_states_may_be_told_once_more() {
        let mut bench = Bench::new();
        bench.push(&event("A", Word::Master, 100));
        bench.push(&event("A", Word::MasterPriority, 110));
        bench.read_all();
        bench.lines.repeat();
        bench.write();
        assert_eq!(bench.read_all(), "INSTANCE \"A\" MASTER 110\n");
    }

    /// Random readers that come, read parts and go: each of them that reads to the end knows every state then.
    #[test]
    fn whoever_reads_to_the_end_knows_every_state() {
        for seed in 0..300 {
            let mut prng = Prng::new(seed);
            let mut bench = Bench::new();
            let mut truth: BTreeMap<String, String> = BTreeMap::new();
            let mut reader: Option<String> = None;
            for _ in 0..300 {
                match prng.below(5) {
                    0 | 1 => {
                        let name = ["A", "B", "C"][usize::try_from(prng.below(3)).unwrap()];
                        let word = [Word::Master, Word::Backup, Word::Fault]
                            [usize::try_from(prng.below(3)).unwrap()];
                        truth.insert(format!("\"{name}\""), word.to_string());
                        bench.push(&event(name, word, 1));
                    }
                    2 => match reader.take() {
                        None => {
                            reader = Some(String::new());
                            bench.come();
                        }
                        Some(_) => bench.leave(),
                    },
                    3 => {
                        if let Some(text) = &mut reader {
                            *text += &bench.read(usize::try_from(prng.below(60)).unwrap());
                        }
                    }
                    _ => {
                        let Some(text) = &mut reader else { continue };
                        *text += &bench.read_all();
                        let mut known = BTreeMap::new();
                        for line in text.lines() {
                            let words: Vec<&str> = line.split(' ').collect();
                            assert_eq!((words.len(), words[0], words[3]), (4, "INSTANCE", "1"), "{line}");
                            known.insert(words[1].to_owned(), words[2].to_owned());
                        }
                        assert_eq!(known, truth, "seed {seed}");
                    }
                }
            }
        }
    }
}
