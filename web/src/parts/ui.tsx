/** Small parts that the pages share. */

import type { ComponentChildren, VNode } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";

import { ApiError } from "../api";
import { useShared } from "../context";
import { ago, exact } from "../format";
import { Icon } from "./icons";

/** A message that stands out. An error is said by screen readers at once. */
export function Notice({ kind, children }: { kind: "error" | "info" | "success"; children: ComponentChildren }): VNode {
  return (
    <div class={`notice notice-${kind}`} role={kind === "error" ? "alert" : "status"}>
      <Icon name={kind === "success" ? "check" : "warning"} />
      <div>{children}</div>
    </div>
  );
}

/** Why something failed, in the words of the proxy. */
export function Failure({ error }: { error: unknown }): VNode {
  const known = error instanceof ApiError;
  return (
    <Notice kind="error">
      <p>{known ? sentence(error.message) : "Something on this page went wrong."}</p>
      {known && error.hint !== "" && <p class="hint">{sentence(error.hint)}</p>}
    </Notice>
  );
}

/** The proxy's messages begin small and have no full stop, as messages on a terminal do. */
function sentence(text: string): string {
  const [first] = text;
  if (first === undefined) {
    return "";
  }
  // Words that are names stay as they are: `ssh`, `rproxy`, and everything in quotes.
  const begins = /^(ssh|rproxy|sshd)\b/.test(text) ? first : first.toUpperCase();
  return `${begins}${text.slice(first.length)}${/[.!?:]$/.test(text) ? "" : "."}`;
}

interface FieldProps {
  label: string;
  type?: "text" | "password";
  value: string;
  onValue: (value: string) => void;
  autocomplete: string;
  required?: boolean;
  hint?: string;
  inputMode?: "numeric" | "text";
  autofocus?: boolean;
}

/** A field with its label above it. */
export function Field(props: FieldProps): VNode {
  const id = useId();
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => {
    if (props.autofocus === true) {
      input.current?.focus();
    }
  }, []);
  const attributes = {
    ref: input,
    id,
    value: props.value,
    onInput: (event: { currentTarget: HTMLInputElement }) => props.onValue(event.currentTarget.value),
    // Browsers fill in what they know by this name.
    autocomplete: props.autocomplete,
    autocapitalize: "none",
    autocorrect: "off",
    spellcheck: false,
    required: props.required ?? false,
    inputMode: props.inputMode ?? "text",
    "aria-describedby": props.hint === undefined ? undefined : `${id}-hint`,
  } as const;
  return (
    <div class="field">
      <label for={id}>{props.label}</label>
      {props.type === "password" ? <input type="password" {...attributes} /> : <input type="text" {...attributes} />}
      {props.hint !== undefined && (
        <p class="hint" id={`${id}-hint`}>
          {props.hint}
        </p>
      )}
    </div>
  );
}

/** A time from now; the exact one in its title and for machines. */
export function Time({ at, none }: { at: string | null; none: string }): VNode {
  const words = ago(at, Date.now());
  if (at === null || words === undefined) {
    return <span class="muted">{none}</span>;
  }
  return (
    <time dateTime={at} title={exact(at)}>
      {words}
    </time>
  );
}

/** Copies a text, and says so. */
export function CopyButton({ text, what, onCopied }: { text: string; what: string; onCopied?: () => void }): VNode {
  const { announce } = useShared();
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) {
      return undefined;
    }
    const timer = setTimeout(() => setCopied(false), 2000);
    return () => clearTimeout(timer);
  }, [copied]);
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(text);
      setCopied(true);
      announce("Copied");
    } catch {
      announce("The browser does not allow to copy: select the text");
    }
    onCopied?.();
  };
  return (
    <button type="button" class="button button-small" aria-label={`Copy ${what}`} onClick={() => void copy()}>
      <Icon name={copied ? "check" : "copy"} />
      {copied ? "Copied" : "Copy"}
    </button>
  );
}

interface ConfirmProps {
  title: string;
  children: ComponentChildren;
  action: string;
  onConfirm: () => Promise<void>;
  onClose: () => void;
}

/** Asks before something that cannot be undone. It is modal: the browser keeps the focus inside and gives it back. */
export function Confirm({ title, children, action, onConfirm, onClose }: ConfirmProps): VNode {
  const id = useId();
  const dialog = useRef<HTMLDialogElement>(null);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  useEffect(() => dialog.current?.showModal(), []);
  const confirm = async (): Promise<void> => {
    setBusy(true);
    setError(undefined);
    try {
      await onConfirm();
      dialog.current?.close();
    } catch (caught) {
      setError(caught);
      setBusy(false);
    }
  };
  return (
    <dialog ref={dialog} aria-labelledby={id} onClose={onClose}>
      <h2 id={id}>{title}</h2>
      {children}
      {error !== undefined && <Failure error={error} />}
      <div class="actions">
        <button type="button" class="button" onClick={() => dialog.current?.close()}>
          Cancel
        </button>
        <button type="button" class="button button-danger" disabled={busy} onClick={() => void confirm()}>
          {action}
        </button>
      </div>
    </dialog>
  );
}

/** What is asked of the proxy when a page opens: the answer, or why there is none, and how to ask again. */
export interface Asked<T> {
  value: T | undefined;
  error: unknown;
  again: () => Promise<void>;
}

/** Asks when the part appears. A failed repetition leaves the earlier answer where it is. */
export function useAsked<T>(ask: () => Promise<T>): Asked<T> {
  const [value, setValue] = useState<T>();
  const [error, setError] = useState<unknown>();
  const gone = useRef(false);
  const again = async (): Promise<void> => {
    try {
      const answer = await ask();
      if (!gone.current) {
        setValue(() => answer);
        setError(undefined);
      }
    } catch (caught) {
      if (!gone.current) {
        setError(caught);
      }
    }
  };
  useEffect(() => {
    gone.current = false;
    void again();
    return () => {
      gone.current = true;
    };
  }, []);
  return { value, error, again };
}
