//! Any bytes as what trackers read: the kernel's events of processes, the number in a file, a command line.

#![no_main]

use std::ffi::CString;

use alived::sys::process_events;
use alived::track::{ParameterMatch, ProcessTracker, ProcessTrackerTiming, Quorum, Weight, leading_number};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = process_events::parse(bytes);
    if let Ok(number) = leading_number(bytes) {
        // What follows the digits does not matter, and a decimal number is read as it is written.
        assert_eq!(leading_number(number.to_string().as_bytes()), Ok(number));
    }
    // The first line names a process, the rest is a command line.
    let mut parts = bytes.splitn(2, |byte| *byte == b'\n');
    let (Some(wanted), Some(line)) = (parts.next(), parts.next()) else { return };
    let mut words = wanted.split(|byte| *byte == b' ').filter_map(|word| CString::new(word).ok());
    let Some(process) = words.next() else { return };
    let parameters: Vec<CString> = words.collect();
    let matches = |parameter_match| {
        let tracker = ProcessTracker {
            name: "fuzz".into(),
            process: process.clone(),
            parameters: parameters.clone(),
            parameter_match,
            weight: Weight::FAULT,
            quorum: Quorum::None,
            timing: ProcessTrackerTiming::default(),
            full_command: true,
        };
        let start = &line[..line.len().min(tracker.command_line_bytes())];
        let whole = tracker.matches_command_line(line);
        assert_eq!(whole, tracker.matches_command_line(start), "the start is enough");
        whole
    };
    // Each is stricter than the next one.
    let found = [ParameterMatch::Exact, ParameterMatch::Partial, ParameterMatch::Initial].map(matches);
    assert!(found.is_sorted(), "{found:?}");
});
