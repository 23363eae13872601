import type { VNode } from "preact";
import { useState } from "preact/hooks";

import type { Account, Key, SignIn } from "../api";
import { useShared } from "../context";
import { count } from "../format";
import { Table } from "../parts/table";
import { Confirm, Failure, Field, Notice, Time, useAsked } from "../parts/ui";

/** Something that is asked before it is done. */
type Question = { is: "key"; key: Key } | { is: "signIn"; signIn: SignIn } | { is: "everywhere" };

export function AccountPage(): VNode {
  const { api, announce, signedOut } = useShared();
  const { value: account, error, again } = useAsked(() => api.account());
  const [question, setQuestion] = useState<Question>();
  const [failed, setFailed] = useState<unknown>();

  if (account === undefined) {
    return error === undefined ? <p class="waiting">Loading your account …</p> : <Failure error={error} />;
  }
  const signOut = async (): Promise<void> => {
    try {
      await api.signOut();
      signedOut("You have signed out in this browser.");
    } catch (caught) {
      setFailed(caught);
    }
  };
  const confirmed = async (): Promise<void> => {
    switch (question?.is) {
      case "key":
        await api.removeKey(question.key.fingerprint);
        announce("The key is removed");
        break;
      case "signIn":
        await api.endSignIn(question.signIn.id);
        announce("The sign-in has ended");
        break;
      case "everywhere":
        await api.signOutEverywhere();
        signedOut("You have signed out everywhere.");
        return;
      case undefined:
        return;
    }
    await again();
  };

  return (
    <div class="account">
      <div class="title">
        <h1>{account.name}</h1>
        <p class="muted">{account.roles.length === 0 ? "no roles" : account.roles.join(", ")}</p>
        <div class="actions">
          <button type="button" class="button" onClick={() => void signOut()}>
            Sign out
          </button>
          <button type="button" class="button" onClick={() => setQuestion({ is: "everywhere" })}>
            Sign out everywhere
          </button>
        </div>
      </div>
      {failed !== undefined && <Failure error={failed} />}
      {error !== undefined && <Failure error={error} />}
      <SignIns account={account} onEnd={(signIn) => setQuestion({ is: "signIn", signIn })} />
      <Keys account={account} onRemove={(key) => setQuestion({ is: "key", key })} />
      <div class="pair">
        <Password account={account} onChanged={() => void again()} />
        <SecondFactor account={account} />
      </div>
      {question !== undefined && (
        <Ask question={question} onConfirm={confirmed} onClose={() => setQuestion(undefined)} />
      )}
    </div>
  );
}

function Ask(props: { question: Question; onConfirm: () => Promise<void>; onClose: () => void }): VNode {
  const { question, onConfirm, onClose } = props;
  const rest = { onConfirm, onClose };
  switch (question.is) {
    case "key":
      return (
        <Confirm title="Remove this key?" action="Remove the key" {...rest}>
          <p>
            <code class="break">{question.key.fingerprint}</code>
          </p>
          <p>Its sign-ins end, and their connections with them. You can register it again: sign in with it by ssh.</p>
        </Confirm>
      );
    case "signIn":
      return (
        <Confirm title="End this sign-in?" action="End the sign-in" {...rest}>
          <p>
            {kindOf(question.signIn)} from {question.signIn.client}. Connections that were made with it end.
          </p>
        </Confirm>
      );
    case "everywhere":
      return (
        <Confirm title="Sign out everywhere?" action="Sign out everywhere" {...rest}>
          <p>All your sign-ins end: those of ssh, with their connections, and those of all browsers.</p>
        </Confirm>
      );
  }
}

function kindOf(signIn: SignIn): string {
  return signIn.kind === "browser" ? "Browser" : "ssh";
}

function SignIns({ account, onEnd }: { account: Account; onEnd: (signIn: SignIn) => void }): VNode {
  const rows = account.sign_ins.map((signIn) => ({
    key: signIn.id,
    cells: [
      kindOf(signIn),
      <span class="mono">{signIn.client}</span>,
      <Time at={signIn.started} none="unknown" />,
      <Time at={signIn.expires} none="unknown" />,
      signIn.this ? (
        <span class="tag">this one</span>
      ) : (
        <button
          type="button"
          class="button button-small"
          aria-label={`End the sign-in from ${signIn.client}`}
          onClick={() => onEnd(signIn)}
        >
          End
        </button>
      ),
    ],
  }));
  return (
    <section class="card" aria-labelledby="sign-ins">
      <h2 id="sign-ins">Sign-ins</h2>
      <Table label="sign-ins" heads={["With", "From", "Since", "Expires"]} rows={rows} />
    </section>
  );
}

function Keys({ account, onRemove }: { account: Account; onRemove: (key: Key) => void }): VNode {
  const rows = account.keys.map((key) => ({
    key: key.fingerprint,
    cells: [
      <>
        {key.comment !== "" && <div>{key.comment}</div>}
        <div class="mono muted">{key.fingerprint}</div>
      </>,
      <Time at={key.registered} none="unknown" />,
      <Time at={key.used} none="never" />,
      <button
        type="button"
        class="button button-small"
        aria-label={`Remove the key ${key.comment === "" ? key.fingerprint : key.comment}`}
        onClick={() => onRemove(key)}
      >
        Remove
      </button>,
    ],
  }));
  return (
    <section class="card" aria-labelledby="keys">
      <h2 id="keys">Keys</h2>
      {rows.length === 0 ? (
        <p class="muted">No key is registered. The first sign-in by ssh registers the key that it was made with.</p>
      ) : (
        <Table label="keys" heads={["Key", "Registered", "Last used"]} rows={rows} />
      )}
    </section>
  );
}

function Password({ account, onChanged }: { account: Account; onChanged: () => void }): VNode {
  const { api } = useShared();
  const [password, setPassword] = useState("");
  const [code, setCode] = useState("");
  const [next, setNext] = useState("");
  const [repeated, setRepeated] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const [done, setDone] = useState(false);
  const differ = repeated !== "" && next !== repeated;

  const submit = async (): Promise<void> => {
    setBusy(true);
    setError(undefined);
    setDone(false);
    try {
      await api.changePassword(password, code.replaceAll(" ", ""), next);
      setDone(true);
      onChanged();
      setPassword("");
      setNext("");
      setRepeated("");
    } catch (caught) {
      setError(caught);
    }
    setCode("");
    setBusy(false);
  };

  return (
    <section class="card" aria-labelledby="password">
      <h2 id="password">Password</h2>
      {done && <Notice kind="success">The password is changed. Your other sign-ins have ended.</Notice>}
      {error !== undefined && <Failure error={error} />}
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (!busy && next === repeated) {
            void submit();
          }
        }}
      >
        {/* Password managers keep the new password under this name. */}
        <input type="text" class="hidden" name="username" autocomplete="username" value={account.name} readOnly tabIndex={-1} aria-hidden="true" />
        <Field label="Password now" type="password" value={password} onValue={setPassword} autocomplete="current-password" required />
        {account.second_factor !== null && (
          <Field label="One-time code" value={code} onValue={setCode} autocomplete="one-time-code" inputMode="numeric" required />
        )}
        <Field label="New password" type="password" value={next} onValue={setNext} autocomplete="new-password" required />
        <Field label="New password again" type="password" value={repeated} onValue={setRepeated} autocomplete="new-password" required />
        {differ && <p class="hint hint-error" role="status">The two new passwords differ.</p>}
        <div class="actions">
          <button type="submit" class="button button-primary" disabled={busy || differ}>
            Change the password
          </button>
        </div>
      </form>
    </section>
  );
}

function SecondFactor({ account }: { account: Account }): VNode {
  const left = account.recovery_codes_left;
  return (
    <section class="card" aria-labelledby="second-factor">
      <h2 id="second-factor">Second factor</h2>
      {account.second_factor === null ? (
        <p>You have none.</p>
      ) : (
        <>
          <p>
            <span class="dot dot-online" aria-hidden="true" /> {factorName(account.second_factor)}
          </p>
          {left !== null && (
            <p class={left < 3 ? "hint-error" : undefined}>
              {left === 0 ? "No recovery code is left." : `${count(left, "recovery code")} left.`}
            </p>
          )}
          <p class="hint">
            The proxy's command <code>mfa</code> replaces it, by ssh, and prints new recovery codes.
          </p>
        </>
      )}
    </section>
  );
}

function factorName(kind: string): string {
  return kind === "otp" ? "One-time codes of an authenticator app" : kind;
}
