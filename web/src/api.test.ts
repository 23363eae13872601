import { expect, test } from "vitest";

import { Api, ApiError } from "./api";

interface Seen {
  path: string;
  init: RequestInit;
}

function api(status: number, body: string | null): { api: Api; seen: Seen[] } {
  const seen: Seen[] = [];
  const made = new Api((input, init) => {
    seen.push({ path: String(input), init: init ?? {} });
    return Promise.resolve(new Response(body, { status }));
  });
  return { api: made, seen };
}

const failed = async (promise: Promise<unknown>): Promise<ApiError> => {
  const error: unknown = await promise.then(() => undefined, (caught: unknown) => caught);
  expect(error).toBeInstanceOf(ApiError);
  return error as ApiError;
};

test("changes have the header that other pages cannot send, questions do not", async () => {
  const { api: made, seen } = api(200, "{}");
  await made.about();
  await made.signIn("alice", "secret", "123456");
  await made.signOut();
  const header = seen.map(({ init }) => (init.headers as Record<string, string>)["rproxy-request"]);
  expect(header).toEqual([undefined, "1", "1"]);
  expect(seen[1]?.init.body).toBe('{"name":"alice","password":"secret","code":"123456"}');
  for (const { init } of seen) {
    expect(init).toMatchObject({ credentials: "same-origin", cache: "no-store", redirect: "error" });
  }
});

test("names in paths stay one segment", async () => {
  const { api: made, seen } = api(204, null);
  await made.removeKey("SHA256:a/b+c");
  await made.endSignIn("../session");
  expect(seen.map(({ path }) => path)).toEqual([
    "/api/v1/account/keys/SHA256%3Aa%2Fb%2Bc",
    "/api/v1/account/sign-ins/..%2Fsession",
  ]);
});

test("nobody is signed in: no error", async () => {
  const { api: made } = api(401, '{"error":{"code":"not-signed-in","message":"m","hint":"h"}}');
  expect(await made.session()).toBeNull();
});

test("an ended sign-in is announced, a wrong password is not", async () => {
  let announced = 0;
  const counted = (status: number): Api => {
    const { api: made } = api(status, "");
    made.onSignedOut = () => {
      announced += 1;
    };
    return made;
  };
  const ended = counted(401);
  await failed(ended.hosts());
  await failed(ended.account());
  await failed(ended.changePassword("right", "", "new"));
  await failed(ended.signOutEverywhere());
  expect(announced).toBe(4);
  await failed(ended.signIn("alice", "wrong", ""));
  await failed(counted(403).changePassword("wrong", "", "new"));
  await failed(counted(503).hosts());
  expect(announced).toBe(4);
});

test("who signs out twice is signed out", async () => {
  const { api: made } = api(401, "");
  await made.signOut();
  await failed(api(503, "").api.signOut());
});

test("errors have the words of the API", async () => {
  const { api: made } = api(429, '{"error":{"code":"throttled","message":"too many tries","hint":"wait a minute"}}');
  const error = await failed(made.signIn("alice", "x", ""));
  expect([error.status, error.code, error.message, error.hint]).toEqual([
    429, "throttled", "too many tries", "wait a minute",
  ]);
});

test("answers of others, and none, have words too", async () => {
  for (const body of ["<html>502</html>", "", "[]", "null", '{"error":7}', '{"error":{"message":7}}']) {
    const { api: made } = api(502, body);
    expect((await failed(made.about())).message).toBe("The proxy answered with status 502.");
  }
  const broken = new Api(() => Promise.reject(new TypeError("network")));
  expect((await failed(broken.about())).code).toBe("unreachable");
});
