import { createContext } from "preact";
import { useContext } from "preact/hooks";

import type { About, Api, Session } from "./api";
import type { Stored } from "./stored";

/** What every part of a page may need. */
export interface Shared {
  api: Api;
  stored: Stored;
  about: About | undefined;
  session: Session | null;
  /** Goes to another page of the interface. */
  go: (path: string) => void;
  /** Has a screen reader say something that is only seen otherwise. */
  announce: (words: string) => void;
  /** Somebody has signed in. */
  signedIn: (session: Session) => void;
  /** This browser has signed out. */
  signedOut: (words: string) => void;
}

export const SharedContext = createContext<Shared | undefined>(undefined);

/** The context of the application. */
export function useShared(): Shared {
  const shared = useContext(SharedContext);
  if (shared === undefined) {
    throw new Error("a part is outside of the application");
  }
  return shared;
}
