// The generated types in use, with nothing but fetch: sign in, read page after page, add a customer, and put refusals beside their fields.
import type { TypedDocumentNode } from "@graphql-typed-document-node/core";
import { print } from "graphql";
import {
  CustomerAddDocument,
  CustomerKind,
  type CustomerLineFragment,
  CustomersDocument,
  type RefusalFragment,
  SignInDocument,
} from "./crm/graphql";

interface Answer<Data> {
  data?: Data | null;
  errors?: { message: string; path?: (string | number)[]; extensions?: { code?: string; department?: string } }[];
}

export class Crm {
  constructor(
    private readonly url: string,
    private readonly token = "",
    private readonly language = "zh-CN",
  ) {}

  async ask<Data, Variables>(document: TypedDocumentNode<Data, Variables>, variables: Variables): Promise<Data> {
    const headers: Record<string, string> = { "content-type": "application/json", "accept-language": this.language };
    if (this.token) headers["authorization"] = `Bearer ${this.token}`;
    const body = JSON.stringify({ query: print(document), variables });
    const answer = (await (await fetch(this.url, { method: "POST", headers, body })).json()) as Answer<Data>;
    // A department that is away leaves its fields null, with an error each; everything else is there.
    if (!answer.data) throw new Error(answer.errors?.map((error) => error.message).join("; ") ?? "no answer");
    return answer.data;
  }
}

export async function signedIn(url: string, email: string, password: string): Promise<Crm> {
  const { sessionCreate } = await new Crm(url).ask(SignInDocument, { email, password });
  if (!sessionCreate.tokens) throw new Error(sessionCreate.errors.map((error) => error.message).join("; "));
  return new Crm(url, sessionCreate.tokens.accessToken);
}

export async function* customers(crm: Crm, beginning: string): AsyncGenerator<CustomerLineFragment> {
  let after: string | null = null;
  for (;;) {
    const page: { customers?: { nodes: CustomerLineFragment[]; pageInfo: { hasNextPage: boolean; endCursor?: string | null } } | null } =
      await crm.ask(CustomersDocument, { first: 50, filter: { name: { startsWith: beginning } }, after });
    if (!page.customers) return; // the department is away
    yield* page.customers.nodes;
    if (!page.customers.pageInfo.hasNextPage) return;
    after = page.customers.pageInfo.endCursor ?? null;
  }
}

export async function add(crm: Crm, name: string): Promise<Map<string, string>> {
  const { customerCreate } = await crm.ask(CustomerAddDocument, { input: { name, kind: CustomerKind.Company } });
  return new Map(customerCreate.errors.map((error: RefusalFragment) => [error.path.slice(1).join("."), error.message]));
}
