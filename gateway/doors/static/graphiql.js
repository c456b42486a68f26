// GraphiQL over this gateway: signs in and out, keeps tokens in memory only, subscribes over graphql-transport-ws. Of a sign-in the browser keeps
// by which device it was: it opens nothing, and guesses of others do not hold it up.
"use strict";
let tokens = null;
let session = null;
let person = "";
let told = "signedOut";
const sockets = new Set();

const SIGN_IN = `mutation SignIn($input: SessionCreateInput!) {
  sessionCreate(input: $input) { session { id } tokens { accessToken refreshToken } deviceToken person { name } errors { code message } }
}`;
const REFRESH = `mutation Refresh($input: SessionRefreshInput!) {
  sessionRefresh(input: $input) { tokens { accessToken refreshToken } errors { code retryable } }
}`;
const SIGN_OUT = `mutation SignOut($input: SessionRevokeInput!) {
  sessionRevoke(input: $input) { errors { code message } }
}`;
const at = (id) => document.getElementById(id);
// What else a sign-in takes is asked for when it is: a code of the second factor, an own password in place of a given one.
const ASKED = { SECOND_FACTOR_REQUIRED: "code", SECOND_FACTOR_REFUSED: "code", PASSWORD_CHANGE_REQUIRED: "newPassword" };

async function post(body, headers = {}, by = tokens) {
  const answer = await fetch("/graphql", {
    method: "POST",
    headers: { "Content-Type": "application/json", ...(by ? { Authorization: `Bearer ${by.accessToken}` } : {}), ...headers },
    body: JSON.stringify(body),
  });
  return answer.json();
}

function show() {
  say();
  at("who").textContent = tokens ? `${person} ✓` : word(told);
  at("start").hidden = Boolean(tokens);
  at("leave").hidden = !tokens;
  at("signin").hidden = Boolean(tokens);
}

function welcome() {
  show();
  if (!at("welcome").open) at("welcome").showModal();
}

function forget(reason) {
  [tokens, session, person, told] = [null, null, "", reason];
  for (const socket of sockets) socket.close();
  show();
}

at("signin").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = new FormData(event.target);
  const place = `device ${form.get("email")}`;
  const given = Object.fromEntries([...form].filter(([, value]) => value));
  const input = { ...given, userAgent: "GraphiQL", deviceToken: localStorage.getItem(place) };
  const { data, errors } = await post({ query: SIGN_IN, variables: { input } });
  const result = data && data.sessionCreate;
  const refusal = (errors || (result && result.errors) || [])[0];
  const code = refusal && (refusal.code || (refusal.extensions || {}).code);
  at("refusal").textContent = refusal ? word(code, refusal.message) : "";
  if (refusal) {
    if (ASKED[code]) {
      at(ASKED[code]).hidden = false;
      at(ASKED[code]).querySelector("input").focus();
    }
    return;
  }
  [tokens, session, person] = [result.tokens, result.session.id, result.person.name];
  localStorage.setItem(place, result.deviceToken);
  event.target.reset();
  for (const name of Object.values(ASKED)) at(name).hidden = true;
  at("welcome").close();
  show();
});

async function refreshed(by) {
  const { data } = await post({ query: REFRESH, variables: { input: { refreshToken: by.refreshToken } } }, {}, null);
  return data && data.sessionRefresh;
}

// Ends the session itself, also where this page slept for longer than its token lives; why it could not, or nothing.
async function ended(by, id) {
  for (let holds = by; holds;) {
    const { data, errors } = await post({ query: SIGN_OUT, variables: { input: { sessionId: id } } }, {}, holds);
    const refusal = (errors || (data && data.sessionRevoke && data.sessionRevoke.errors) || [])[0];
    if (!refusal) return null;
    const code = refusal.code || (refusal.extensions || {}).code;
    if (code !== "UNAUTHENTICATED" || holds !== by) return refusal.message;
    const again = await refreshed(by);
    holds = again && again.tokens;
  }
  return null;
}

at("leave").addEventListener("click", async () => {
  const [by, id] = [tokens, session];
  forget("signedOut"); // whatever comes back: from here on this page asks as nobody, and what it listened to ends
  const refusal = await ended(by, id).catch((error) => error.message);
  if (refusal && !tokens) at("who").textContent = `${word("notEnded")} ${refusal}`;
});
at("start").addEventListener("click", welcome);
at("help").addEventListener("click", welcome);
at("later").addEventListener("click", () => at("welcome").close());
at("welcome").addEventListener("click", (event) => { if (event.target === at("welcome")) at("welcome").close(); });
at("language").addEventListener("click", () => {
  language = language === "en" ? "zh-CN" : "en";
  localStorage.setItem("language", language);
  at("refusal").textContent = "";
  show();
});

setInterval(async () => {
  const by = tokens;
  if (!by) return;
  const result = await refreshed(by).catch(() => null);
  if (tokens !== by || !result) return; // signed out meanwhile; or nobody answered, and the next time may do
  if (result.tokens) tokens = result.tokens;
  else if (!(result.errors || []).some((one) => one.retryable)) forget("ended");
}, 200000);

async function* subscribe(payload) {
  const socket = new WebSocket(location.href.replace(/^http/, "ws").split("?")[0], "graphql-transport-ws");
  sockets.add(socket);
  const waiting = [];
  let wake = () => {};
  const push = (item) => { waiting.push(item); wake(); };
  socket.onopen = () => socket.send(JSON.stringify({ type: "connection_init", payload: tokens ? { authorization: `Bearer ${tokens.accessToken}` } : {} }));
  socket.onclose = (event) => push({ done: true, reason: event.reason });
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if (message.type === "connection_ack") socket.send(JSON.stringify({ id: "1", type: "subscribe", payload }));
    if (message.type === "next") push({ value: message.payload });
    if (message.type === "error") push({ value: { errors: message.payload } });
    if (message.type === "complete") socket.close();
  };
  try {
    for (;;) {
      while (waiting.length) {
        const item = waiting.shift();
        if (item.done) return;
        yield item.value;
      }
      await new Promise((resolve) => { wake = resolve; });
    }
  } finally {
    sockets.delete(socket);
    socket.close();
  }
}

function fetcher(payload, options) {
  const name = payload.operationName;
  const operation = (options.documentAST ? options.documentAST.definitions : []).find(
    (node) => node.kind === "OperationDefinition" && (!name || (node.name && node.name.value === name)));
  return operation && operation.operation === "subscription" ? subscribe(payload) : post(payload, options.headers || {});
}

const TABS = [
  { query: `# 1 · Who am I, and my customers. Sign in above first.
query MyCustomers {
  viewer { name post roles homeDepartment { name } }
  customers(first: 10) {
    nodes { id name level lifecycle owner { name } openOpportunities(first: 3) { nodes { name amount { amount currencyCode } } } }
    pageInfo { hasNextPage endCursor }
  }
}` },
  { query: `# 2 · One customer, seen from every department in one operation.
query Customer360($name: String!) {
  search(query: $name, kinds: [CUSTOMER], first: 1) {
    hits { record { ... on Customer {
      name kind level industry region lifecycle
      owner { name post }
      parent { name }
      contacts { nodes { name title email } }
      notes(first: 3) { nodes { text creator { name } } }
      openOpportunities { nodes { name stageKey probability amount { amount currencyCode } } }
      orderTotals { saleCount returnCount netValue { amount currencyCode } lastOrderTime }
      orders(first: 3) { nodes { number orderTime state total { amount currencyCode } } }
      messages(first: 3) { nodes { state sentTime campaign { name } } }
      tickets(first: 3) { nodes { number subject state priority owner { name } } }
      timeline(first: 10) { nodes { occurTime department eventType subject actor { name } } }
    } } }
  }
}`, variables: JSON.stringify({ name: "北京" }, null, 2) },
  { query: `# 3 · Open opportunities above 100 000, the largest first.
query LargeOpportunities {
  opportunities(first: 10, orderBy: AMOUNT_DESC, filter: { state: { eq: OPEN }, amount: { gt: "100000" } }) {
    nodes { name customer { name } owner { name } stageKey probability amount { amount currencyCode } expectedCloseDate }
  }
}` },
  { query: `# 4 · Take a request in: it goes to the least loaded agent with the skill.
mutation TakeIn {
  ticketCreate(input: { subject: "开票问题 / invoice", channel: PHONE, kind: QUESTION, skill: "billing" }) {
    ticket { number state owner { name skills } }
    errors { code message path retryable }
  }
}` },
  { query: `# 5 · Tickets as they change (WebSocket). Run it, then run 4 in another tab.
subscription Tickets {
  ticketChanged { occurTime eventType record { ... on Ticket { number subject state owner { name } } } }
}` },
];

ReactDOM.createRoot(document.getElementById("graphiql")).render(
  React.createElement(GraphiQL, { fetcher, defaultTabs: TABS, shouldPersistHeaders: false }));
welcome();
