import type { ComponentChildren, VNode } from "preact";
import { useRef, useState } from "preact/hooks";

import { useShared } from "../context";
import { Failure, Field } from "../parts/ui";

interface SignInProps {
  heading?: string;
  name?: string;
  notice?: ComponentChildren;
}

/** Asks for name, password and code. What was wrong is said as the proxy says it: it does not tell which part. */
export function SignInPage({ heading = "Sign in", name: known = "", notice }: SignInProps): VNode {
  const { api, about, signedIn } = useShared();
  const [name, setName] = useState(known);
  const [password, setPassword] = useState("");
  const [code, setCode] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const form = useRef<HTMLFormElement>(null);

  const submit = async (): Promise<void> => {
    setBusy(true);
    setError(undefined);
    try {
      signedIn(await api.signIn(name.trim(), password, code.replaceAll(" ", "")));
    } catch (caught) {
      setBusy(false);
      setError(caught);
      // A code is good for one try.
      setCode("");
      form.current?.querySelector<HTMLInputElement>("input[type=password]")?.select();
    }
  };

  return (
    <section class="narrow card">
      <h1>{heading}</h1>
      {about !== undefined && known === "" && (
        <p class="lead">
          to the hosts of <strong>{about.cluster}</strong>
        </p>
      )}
      {notice}
      {error !== undefined && <Failure error={error} />}
      <form
        ref={form}
        onSubmit={(event) => {
          event.preventDefault();
          if (!busy) {
            void submit();
          }
        }}
      >
        <Field label="Name" value={name} onValue={setName} autocomplete="username" required autofocus={known === ""} />
        <Field
          label="Password"
          type="password"
          value={password}
          onValue={setPassword}
          autocomplete="current-password"
          required
          autofocus={known !== ""}
        />
        <Field
          label="One-time code"
          value={code}
          onValue={setCode}
          autocomplete="one-time-code"
          inputMode="numeric"
          hint="From your authenticator app, or one of your recovery codes. Leave it empty if you have no second factor."
        />
        <div class="actions">
          <button type="submit" class="button button-primary button-wide" disabled={busy}>
            {busy ? "Signing in …" : "Sign in"}
          </button>
        </div>
      </form>
      {known === "" && (
        <p class="aside">
          No account yet? An administrator invites you. You sign up with <code>ssh</code>, by the command that comes with the
          invitation.
        </p>
      )}
    </section>
  );
}
