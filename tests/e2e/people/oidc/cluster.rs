//! Several proxies, and processes that die between the link and the code.

use super::stage::{Plan, ProviderStage};
use crate::support::{ports, postgres};

/// The browser may come back to another proxy than the one that showed the link.
#[test]
fn a_browser_comes_back_to_another_proxy_on_the_same_database() {
    let Some(url) = postgres::database() else {
        return;
    };
    let plan = Plan {
        settings: postgres::section(&url),
        ..Plan::default()
    };
    let Some(stage) = ProviderStage::with(plan) else {
        return;
    };
    let world = &stage.world;
    let mut waiting = stage.ssh();
    let link = waiting.link();
    let other = ports::free_port();
    let (before, after) = (
        format!("web_listen_addr: 127.0.0.1:{}", stage.web),
        format!("web_listen_addr: 127.0.0.1:{other}"),
    );
    world.edit_configuration(|text| text.replace(&before, &after));
    let _first = world.go_through_another_proxy();
    let browser = stage.browser("alice");
    let callback = browser.callback(&link, "alice");
    let (here, there) = (format!(":{}/", stage.web), format!(":{other}/"));
    let page = browser.get(&callback.replace(&here, &there));
    waiting.type_code(&page.code());
    waiting.says_hello();
    // The second proxy knows of the sign-in.
    assert_eq!(world.run("db1", "echo in").success().text(), "in\n");
}

#[test]
fn the_auth_process_dies_between_the_link_and_the_code() {
    let Some(stage) = ProviderStage::new() else {
        return;
    };
    let world = &stage.world;
    let mut waiting = stage.ssh();
    let link = waiting.link();
    world.kill_auth();
    let browser = stage.browser("alice");
    let callback = browser.callback(&link, "alice");
    world.kill_auth();
    let code = browser.get(&callback).code();
    // The link and the answer are in the state. The conversation with the terminal has died with the
    // process, so the person is asked anew, with another link.
    waiting.type_code(&code);
    let link = waiting.link();
    let page = stage.browser("alice again").sign_in(&link, "alice");
    waiting.type_code(&page.code());
    waiting.says_hello();
}
