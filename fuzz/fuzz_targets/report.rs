#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rproxy_fuzz::report(data));
