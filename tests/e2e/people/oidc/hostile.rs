//! A provider that is taken over, or another program in its place.

use serde_json::json;

use super::stage::ProviderStage;

/// Each is refused, and opens nothing.
#[test]
fn tokens_that_do_not_verify_open_nothing() {
    let Some(stage) = ProviderStage::new() else {
        return;
    };
    let attacks = [
        "wrong nonce",
        "no nonce",
        "other audience",
        "other issuer",
        "expired",
        "other key",
        "unknown key",
        "none",
        "key confusion",
        "no token",
        "huge",
        "redirect",
    ];
    for attack in attacks {
        stage.start_provider(json!({ "hostile": attack }));
        let mut waiting = stage.ssh();
        let browser = stage.browser(&attack.replace(' ', "-"));
        let page = browser.sign_in(&waiting.link(), "alice");
        assert_eq!(page.status, 403, "{attack}: {}", page.html);
        assert!(!page.html.contains("<code>"), "{attack}: {}", page.html);
        waiting.type_code("0000-0000");
        waiting.0.expect("The browser shows no code");
    }
    let world = &stage.world;
    assert!(world.events("sign_in.begun").is_empty());
    let listed = world.users_do(&["ls"]);
    assert!(!listed.contains("alice"), "{listed}");
    // The same provider without an attack.
    stage.start_provider(json!({}));
    stage.sign_in("alice");
}
