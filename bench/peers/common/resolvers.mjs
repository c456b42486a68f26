// Resolvers and scalars that both servers share. Fields without one here are read by graphql-js's default resolver.
import { GraphQLError, GraphQLScalarType } from 'graphql'

const LARGEST = 100

// ---- scalars: how the contract's values are shown

/** int64 as a number where it is exact, else as a BigInt. */
function whole({ low, high }) {
  const value = high * 4294967296 + (low >>> 0)
  return Number.isSafeInteger(value) ? value : (BigInt(high) << 32n) | BigInt(low >>> 0)
}

/** Millionths as units: two decimals at least, no more than needed. */
function units(micros) {
  const value = BigInt(micros)
  const [sign, size] = value < 0n ? ['-', -value] : ['', value]
  return sign + decimals((size / 1_000_000n).toString(), Number(size % 1_000_000n))
}

function decimals(integer, rest) {
  if (rest % 10_000 === 0) return `${integer}.${String(rest / 10_000).padStart(2, '0')}`
  return `${integer}.${String(rest).padStart(6, '0').replace(/0+$/, '')}`
}

function decimal(micros) {
  const value = whole(micros)
  if (typeof value === 'bigint' || value < 0) return units(value)
  const rest = value % 1_000_000
  return decimals(String((value - rest) / 1_000_000), rest)
}

function moment({ seconds, nanos }) {
  return new Date(whole(seconds) * 1000 + Math.trunc(nanos / 1_000_000)).toISOString()
}

const DateTime = new GraphQLScalarType({ name: 'DateTime', serialize: moment })
const Decimal = new GraphQLScalarType({ name: 'Decimal', serialize: decimal })
const Long = new GraphQLScalarType({ name: 'Long', serialize: value => Number(whole(value)) })

// ---- ids

const toGlobal = (noun, id) => Buffer.from(`${noun}:${id}`).toString('base64url')

function fromGlobal(text, noun) {
  const [kind, id] = Buffer.from(text, 'base64url').toString().split(':')
  if (kind !== noun || !id) throw new GraphQLError(`«${text.slice(0, 60)}» is no id of a ${noun}`, { extensions: { code: 'INVALID' } })
  return id
}

const ids = noun => ({
  id: row => toGlobal(noun, row.id),
  ownerId: row => (row.ownerId ? toGlobal('Person', row.ownerId) : null),
  ...(noun !== 'Customer' && { customerId: row => (row.customerId ? toGlobal('Customer', row.customerId) : null) }),
})

// ---- enums: name → number of the contract; «not given» is null

const numbered = (...names) => Object.fromEntries(names.map((name, index) => [name, index + 1]))

// ---- fields

function rows(first) {
  if (first < 1 || first > LARGEST) {
    throw new GraphQLError(`first is ${first}; ask for 1 to ${LARGEST} rows`, { extensions: { code: 'INVALID' } })
  }
  return first
}

const edge = name => (row, { first, after }, { departments }) => departments.edge(name, row.id, rows(first ?? 20), after ?? '')

export const resolvers = {
  DateTime,
  Decimal,
  Long,
  CustomerLevel: numbered('KEY', 'A', 'B', 'C'),
  CustomerLifecycle: numbered('CONTACT', 'CONVERT', 'MAINTAIN', 'CHURN'),
  OpportunityState: numbered('OPEN', 'WON', 'LOST'),
  TicketPriority: numbered('LOW', 'NORMAL', 'HIGH', 'URGENT'),
  TicketState: numbered('NEW', 'OPEN', 'PENDING', 'RESOLVED', 'CLOSED'),
  CampaignMessageState: numbered('PLANNED', 'SENT', 'OPENED', 'CLICKED', 'UNSUBSCRIBED', 'FAILED', 'DROPPED'),
  Query: {
    customer: (_, { id }, { departments }) => departments.customer(fromGlobal(id, 'Customer')),
    customers: (_, { first, after }, { departments }) => departments.customers(rows(first ?? 20), after ?? ''),
  },
  Money: { amount: money => money.amountMicros },
  Customer: { ...ids('Customer'), opportunities: edge('opportunities'), tickets: edge('tickets'), messages: edge('messages') },
  Opportunity: ids('Opportunity'),
  Ticket: ids('Ticket'),
  CampaignMessage: ids('CampaignMessage'),
}
