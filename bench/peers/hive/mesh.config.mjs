// What `mesh-compose` makes supergraph.graphql of: the four services over gRPC, and the edges of a customer (resolved in gateway.config.mjs).
import { defineConfig } from '@graphql-mesh/compose-cli'
import { loadGrpcSubgraph } from '@omnigraph/grpc'

const PROTOS = process.env.PROTOS ?? '../../../protos'
const subgraph = (department, noun, methods) => ({
  sourceHandler: loadGrpcSubgraph(department, {
    endpoint: `{env.CRM_${department.toUpperCase()}_ADDRESS}`,
    source: {
      file: `${PROTOS}/crm/${department}/v1/${noun}_service.proto`,
      load: { includeDirs: [PROTOS, '../common/include', '../node_modules/protobufjs'] },
    },
    metaData: { authorization: '{context.headers.authorization}' },
    requestTimeout: 5000,
    selectQueryOrMutationField: methods.map(name => ({ fieldName: `crm_${department}_v1_${name}`, type: 'Query' })),
  }),
})

export const composeConfig = defineConfig({
  subgraphs: [
    subgraph('customer', 'customer', ['CustomerService_BatchGetCustomers', 'CustomerService_ListCustomers']),
    subgraph('sales', 'opportunity', ['OpportunityService_BatchListOpportunities']),
    subgraph('support', 'ticket', ['TicketService_BatchListTickets']),
    subgraph('marketing', 'campaign_message', ['CampaignMessageService_BatchListCampaignMessages']),
  ],
  additionalTypeDefs: `
    extend type crm__customer__v1__Customer {
      opportunities(first: Int): crm__sales__v1__OpportunityGroup
      tickets(first: Int): crm__support__v1__TicketGroup
      messages(first: Int): crm__marketing__v1__BatchListCampaignMessagesGroup
    }
  `,
})
