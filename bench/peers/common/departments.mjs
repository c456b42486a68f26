// The departments' clients (grpc-js keeps one connection a target), contracts read from the .proto files, a loader for each question of a request.
import { fileURLToPath } from 'node:url'
import grpc from '@grpc/grpc-js'
import protoLoader from '@grpc/proto-loader'
import DataLoader from 'dataloader'

const PROTOS = process.env.PROTOS ?? fileURLToPath(new URL('../../../protos', import.meta.url))
const INCLUDE = fileURLToPath(new URL('include', import.meta.url))
const target = department => process.env[`CRM_${department}_ADDRESS`] ?? '127.0.0.1:50051'
const DEADLINE_MS = 5000
const LARGEST_BATCH = 100 // the contract's limit of keys a call

// camelCase names, enums as numbers (the schema maps them), int64 as Long objects (exact, not formatted unless shown)
const SERVICES = ['customer/v1/customer', 'sales/v1/opportunity', 'support/v1/ticket', 'marketing/v1/campaign_message']
const { crm } = grpc.loadPackageDefinition(
  protoLoader.loadSync(
    SERVICES.map(name => `crm/${name}_service.proto`),
    { keepCase: false, defaults: true, includeDirs: [PROTOS, INCLUDE] },
  ),
)
const credentials = grpc.credentials.createInsecure()
const clients = {
  customers: new crm.customer.v1.CustomerService(target('CUSTOMER'), credentials),
  opportunities: new crm.sales.v1.OpportunityService(target('SALES'), credentials),
  tickets: new crm.support.v1.TicketService(target('SUPPORT'), credentials),
  messages: new crm.marketing.v1.CampaignMessageService(target('MARKETING'), credentials),
}

function call(client, method, request, metadata) {
  return new Promise((resolve, reject) => {
    client[method](request, metadata, { deadline: Date.now() + DEADLINE_MS }, (error, answer) => (error ? reject(error) : resolve(answer)))
  })
}

const EDGES = {
  opportunities: ['BatchListOpportunities', 'opportunities'],
  tickets: ['BatchListTickets', 'tickets'],
  messages: ['BatchListCampaignMessages', 'campaignMessages'],
}

/** What one request asks the departments; the keys of a level go out in one call. */
export class Departments {
  #loaders = new Map()
  #metadata = new grpc.Metadata()

  /** `authorization` is the header of the client, passed on. */
  constructor(authorization) {
    if (authorization) this.#metadata.set('authorization', authorization)
  }

  customer(id) {
    return this.#loader('customer', async ids => {
      const { customers } = await call(clients.customers, 'BatchGetCustomers', { ids }, this.#metadata)
      const found = new Map(customers.map(row => [row.id, row]))
      return ids.map(wanted => found.get(wanted) ?? null)
    }).load(id)
  }

  async customers(pageSize, pageToken) {
    const answer = await call(clients.customers, 'ListCustomers', { pageSize, pageToken }, this.#metadata)
    return page(answer.customers, answer, pageToken)
  }

  edge(name, customerId, pageSize, pageToken) {
    const [method, rows] = EDGES[name]
    // a page token goes with a single key
    const mark = pageToken ? `${name} ${pageSize} ${pageToken} ${customerId}` : `${name} ${pageSize}`
    return this.#loader(mark, async customerIds => {
      const { groups } = await call(clients[name], method, { customerIds, pageSize, pageToken }, this.#metadata)
      const found = new Map(groups.map(group => [group.key, group]))
      return customerIds.map(key => page(found.get(key)[rows], found.get(key), pageToken))
    }).load(customerId)
  }

  #loader(mark, load) {
    let loader = this.#loaders.get(mark)
    if (!loader) {
      loader = new DataLoader(load, { maxBatchSize: LARGEST_BATCH })
      this.#loaders.set(mark, loader)
    }
    return loader
  }
}

function page(nodes, { nextPageToken }, pageToken) {
  return { nodes, pageInfo: { hasNextPage: nextPageToken !== '', hasPreviousPage: Boolean(pageToken) } }
}
