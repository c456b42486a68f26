// Hive Gateway over the composed supergraph; the CLI adds host and port.
import { defineConfig } from '@graphql-hive/gateway'
import { Kind } from 'graphql'

const field = (value, selectionSet) => ({ kind: Kind.FIELD, name: { kind: Kind.NAME, value }, selectionSet })

/** An edge by the in-context SDK: the keys of a level go out in one call. `@resolveTo` cannot say it, for its additionalArgs displace the keys. */
const edge = (department, source) => ({
  selectionSet: '{ id }',
  resolve: (root, { first }, context, info) =>
    context[department].Query[`crm_${department}_v1_${source}`]({
      root,
      context,
      info,
      key: root.id,
      argsFromKeys: customer_ids => ({ input: { customer_ids, page_size: first } }),
      selectionSet: ({ selections }) => ({
        kind: Kind.SELECTION_SET,
        selections: [field('groups', { kind: Kind.SELECTION_SET, selections: [field('key'), ...selections] })],
      }),
      valuesFromResults: ({ groups }, keys) => {
        const found = new Map(groups.map(group => [group.key, group]))
        return keys.map(key => found.get(key) ?? null)
      },
    }),
})

export const gatewayConfig = defineConfig({
  supergraph: './supergraph.graphql',
  additionalResolvers: {
    crm__customer__v1__Customer: {
      opportunities: edge('sales', 'OpportunityService_BatchListOpportunities'),
      tickets: edge('support', 'TicketService_BatchListTickets'),
      messages: edge('marketing', 'CampaignMessageService_BatchListCampaignMessages'),
    },
  },
  jit: true,
  pollingInterval: 0,
  graphiql: false,
  landingPage: false,
})
