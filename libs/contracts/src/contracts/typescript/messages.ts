// Generated from contracts/ by `python -m contracts.generate`; never edited.

/** Hold the order's total on the customer's payment method. */
export interface AuthorizePayment {
  /** The order. */
  order_id: string;
  /** The payment; also the idempotency key at the gateway. */
  payment_id: string;
  /** Who pays. */
  customer_id: string;
  /** The order's total. */
  amount: Money;
  /** The gateway's token for the payment method; never card data. */
  payment_method: string;
}
/** An amount in one currency. */
export interface Money {
  /** The amount in the currency's minor unit (cents of a euro). */
  amount_minor: number;
  /** ISO 4217 alphabetic code. */
  currency: string;
}
/** A book as it is offered in the shop. */
export interface Book {
  /** The book. */
  book_id: string;
  /** ISBN-13 without hyphens; absent for books that have none. */
  isbn?: string;
  /** Title. */
  title: string;
  /**
   * Authors in the order of the title page.
   *
   * @minItems 1
   * @maxItems 100
   *
   * Items: Name of one author.
   */
  authors: string[];
  /**
   * Subjects, possibly none.
   *
   * @maxItems 100
   *
   * Items: One subject.
   */
  subjects: string[];
  /** BCP 47 language tag. */
  language: string;
  /** Year of first publication; negative before the common era. */
  year?: number;
  /** Price of one copy. */
  price: Money;
}
/** A book is offered for the first time. */
export interface BookListed {
  /** The book as it is now. */
  book: Book;
  /** Grows with each change of the book; a reader drops what is not newer than what it has. */
  version: number;
}
/** A book's description or price changed. */
export interface BookRevised {
  /** The book as it is now. */
  book: Book;
  /** Grows with each change of the book; a reader drops what is not newer than what it has. */
  version: number;
}
/** Take the held money. The order's pivot: it is sent again until it succeeds. */
export interface CapturePayment {
  /** The order. */
  order_id: string;
  /** The payment. */
  payment_id: string;
}
/** How to write to a customer. */
export interface Contact {
  /** E-mail address: the form that HTML's input of this type takes, with a dot in the domain. */
  email: string;
  /** How the customer wants to be addressed; one line. */
  name?: string;
  /** BCP 47 language tag for texts, dates and amounts. */
  locale?: string;
}
/** The customer's contact is to be forgotten, everywhere. */
export interface ContactErased {
  /** The customer. */
  customer_id: string;
  /** Grows with each change of the customer's contact; a reader drops what is not newer than what it has. */
  version: number;
}
/** Where and how a customer wants to be written to. Personal: it is not logged, and ContactErased ends its use. */
export interface ContactProvided {
  /** The customer. */
  customer_id: string;
  /** Grows with each change of the customer's contact; a reader drops what is not newer than what it has. */
  version: number;
  /** All of it: what is absent here is no longer known. */
  contact: Contact;
}
/** The CloudEvents 1.0 envelope around every message: the Detail of an EventBridge entry. */
export interface Envelope {
  /** CloudEvents version. */
  specversion: "1.0";
  /** The message. Stable: handling the same cause again yields the same id. */
  id: string;
  /** The sending service; equals the entry's Source. */
  source: string;
  /** The message's name; equals the entry's DetailType. */
  type: string;
  /** Id of what the message is about: an order, a book or a batch. */
  subject: string;
  /** When the message was written, in UTC. */
  time: string;
  /** Media type of data. */
  datacontenttype: "application/json";
  /** The $id of the schema of data; its last part is the major version. */
  dataschema: string;
  /** Shared by all messages that follow from one request. */
  correlationid: string;
  /** The message whose handling wrote this one; absent on the first. */
  causationid?: string;
  /** W3C trace context of the sender. */
  traceparent?: string;
  /** The message itself, as dataschema describes it. */
  data: {};
}
/** What is wrong with one part of a request. */
export interface FieldError {
  /** Where it is: a JSON Pointer that starts with body, header, query or path; empty if it concerns the whole. */
  pointer: string;
  /** What is wrong and what would be right. */
  message: string;
}
/** The copies of the cancelled order are in stock again. */
export interface ItemsRestocked {
  /** The order. */
  order_id: string;
}
/** A confirmed order was cancelled: the money is given back and the copies are in stock again. */
export interface OrderCancelled {
  /** The order. */
  order_id: string;
  /** Who ordered. */
  customer_id: string;
  /** The amount given back. */
  refunded: Money;
}
/** The order is paid and its copies are sold. */
export interface OrderConfirmed {
  /** The order. */
  order_id: string;
  /** Who ordered. */
  customer_id: string;
  /**
   * What is ordered.
   *
   * @minItems 1
   * @maxItems 50
   */
  lines: OrderLine[];
  /** Sum of the lines, as charged. */
  total: Money;
}
/** Copies of one book in an order, at the price that the customer saw. */
export interface OrderLine {
  /** The book. */
  book_id: string;
  /** Number of copies. */
  quantity: number;
  /** Price of one copy. */
  unit_price: Money;
}
/** The order failed; nothing is charged and nothing is reserved. */
export interface OrderRejected {
  /** The order. */
  order_id: string;
  /** Who ordered. */
  customer_id: string;
  /** Why, such as out_of_stock, card_declined or reserve_stock_timeout. */
  reason: string;
  /** Explanation for people. */
  detail?: string;
}
/** The money is held. */
export interface PaymentAuthorized {
  /** The order. */
  order_id: string;
  /** The payment. */
  payment_id: string;
  /** The amount held. */
  amount: Money;
}
/** The money is taken. */
export interface PaymentCaptured {
  /** The order. */
  order_id: string;
  /** The payment. */
  payment_id: string;
  /** The amount taken. */
  amount: Money;
}
/** The money could not be held; the customer is not charged. */
export interface PaymentDeclined {
  /** The order. */
  order_id: string;
  /** The payment. */
  payment_id: string;
  /** Why, as the gateway says it; voided if the payment was voided before it was authorized. */
  reason:
    | "card_declined"
    | "insufficient_funds"
    | "expired_card"
    | "authentication_required"
    | "processing_error"
    | "voided";
  /** Explanation for people. */
  detail?: string;
}
/** The state that an order expects its payment to be in. */
export interface PaymentExpectation {
  /** The order. */
  order_id: string;
  /** The payment. */
  payment_id: string;
  /** The expected state. */
  expected: "captured" | "voided" | "refunded";
}
/** The money could not be given back; people must look at it. */
export interface PaymentRefundFailed {
  /** The order. */
  order_id: string;
  /** The payment. */
  payment_id: string;
  /** Explanation for people. */
  detail?: string;
}
/** The money is given back. */
export interface PaymentRefunded {
  /** The order. */
  order_id: string;
  /** The payment. */
  payment_id: string;
  /** The amount given back. */
  amount: Money;
  /** Who gets it back; absent where payment was never told. */
  customer_id?: string;
}
/** A payment that differed from what its order expected. */
export interface PaymentRepair {
  /** The order. */
  order_id: string;
  /** The payment. */
  payment_id: string;
  /** The state found at the gateway, such as authorized, captured, missing. */
  found: string;
  /** What was done, such as captured, voided, refunded, none. */
  action: string;
}
/** No money is held for the payment, and no later authorization of it will succeed. */
export interface PaymentVoided {
  /** The order. */
  order_id: string;
  /** The payment. */
  payment_id: string;
}
/** Result of a comparison with the gateway. */
export interface PaymentsReconciled {
  /** The comparison. */
  batch_id: string;
  /** Number of expectations that were met already. */
  matched: number;
  /**
   * What differed and what was done about it.
   *
   * @maxItems 100
   */
  repaired: PaymentRepair[];
}
/** A problem document (RFC 9457). */
export interface Problem {
  /** URN that ends with the code. */
  type: string;
  /** Short summary, the same for each occurrence of the type. */
  title: string;
  /** The HTTP status. */
  status: number;
  /** What happened this time and what to do. */
  detail: string;
  /** Machine-readable code. */
  code: string;
  /**
   * The single faults of an invalid request.
   *
   * @minItems 1
   * @maxItems 100
   */
  errors?: FieldError[];
}
/** Compare payments with the gateway and repair what differs from what the orders expect. */
export interface ReconcilePayments {
  /** This comparison. */
  batch_id: string;
  /**
   * What the orders expect of their payments.
   *
   * @minItems 1
   * @maxItems 100
   */
  expectations: PaymentExpectation[];
}
/** Compare reservations with what the orders expect and repair what differs. */
export interface ReconcileStock {
  /** This comparison. */
  batch_id: string;
  /**
   * What the orders expect of their copies.
   *
   * @minItems 1
   * @maxItems 100
   */
  expectations: StockExpectation[];
}
/** The state that an order expects its copies to be in. */
export interface StockExpectation {
  /** The order. */
  order_id: string;
  /** The expected state. */
  expected: "sold" | "released" | "restocked";
}
/** Give the captured money back. */
export interface RefundPayment {
  /** The order. */
  order_id: string;
  /** The payment. */
  payment_id: string;
}
/** Give the reserved copies of an order back; harmless before, after or without the reservation. */
export interface ReleaseStock {
  /** The order. */
  order_id: string;
}
/** Set the copies of an order aside until it is paid. */
export interface ReserveStock {
  /** The order. */
  order_id: string;
  /**
   * What is ordered.
   *
   * @minItems 1
   * @maxItems 50
   */
  lines: OrderLine[];
}
/** Take the sold copies of a cancelled order back into stock. */
export interface RestockItems {
  /** The order. */
  order_id: string;
}
/** The parcel is with the customer. */
export interface ShipmentDelivered {
  /** The order. */
  order_id: string;
  /** The parcel; an order has one. */
  shipment_id: string;
  /** Who gets it. */
  customer_id: string;
  /** What the carrier knows the parcel by. */
  tracking_code: string;
  /** When it arrived. */
  delivered_at: string;
}
/** The parcel has left the house. */
export interface ShipmentDispatched {
  /** The order. */
  order_id: string;
  /** The parcel; an order has one. */
  shipment_id: string;
  /** Who gets it. */
  customer_id: string;
  /** What the carrier knows the parcel by. */
  tracking_code: string;
  /** When it left. */
  dispatched_at: string;
}
/** The number of copies that can be ordered changed. */
export interface StockLevelChanged {
  /** The book. */
  book_id: string;
  /** Copies on hand that are not reserved. */
  available: number;
  /** Grows with each change of the stock; a reader drops what is not newer than what it has. */
  version: number;
}
/** Result of a comparison with the orders; whatever had to be repaired is listed. */
export interface StockReconciled {
  /** The comparison. */
  batch_id: string;
  /** Number of expectations that were met already. */
  matched: number;
  /**
   * What differed and what was done about it.
   *
   * @maxItems 100
   */
  repaired: StockRepair[];
}
/** An order's copies that were not in the state that the order expected. */
export interface StockRepair {
  /** The order. */
  order_id: string;
  /** The state found, such as held, sold, expired, missing. */
  found: string;
  /** What was done: sold, released, restocked, or none. */
  action: string;
}
/** The order holds no stock, and no later reservation of it will succeed. */
export interface StockReleased {
  /** The order. */
  order_id: string;
}
/** All copies of the order are set aside. */
export interface StockReserved {
  /** The order. */
  order_id: string;
  /** When the reservation expires unless the order is confirmed. */
  reserved_until: string;
}
/** The order cannot be reserved; nothing was set aside. */
export interface StockUnavailable {
  /** The order. */
  order_id: string;
  /** Why: no such book, too few copies, another price than ordered, or the order was released before. */
  reason: "unknown_book" | "out_of_stock" | "price_changed" | "released";
  /** The book that stands in the way, if it is one. */
  book_id?: string;
  /** Explanation for people. */
  detail?: string;
}
/** Let go of the held money; harmless before, after or without the authorization. */
export interface VoidPayment {
  /** The order. */
  order_id: string;
  /** The payment. */
  payment_id: string;
}

/** Every message by its name. */
export interface Messages {
  AuthorizePayment: AuthorizePayment;
  BookListed: BookListed;
  BookRevised: BookRevised;
  CapturePayment: CapturePayment;
  ContactErased: ContactErased;
  ContactProvided: ContactProvided;
  ItemsRestocked: ItemsRestocked;
  OrderCancelled: OrderCancelled;
  OrderConfirmed: OrderConfirmed;
  OrderRejected: OrderRejected;
  PaymentAuthorized: PaymentAuthorized;
  PaymentCaptured: PaymentCaptured;
  PaymentDeclined: PaymentDeclined;
  PaymentRefundFailed: PaymentRefundFailed;
  PaymentRefunded: PaymentRefunded;
  PaymentVoided: PaymentVoided;
  PaymentsReconciled: PaymentsReconciled;
  ReconcilePayments: ReconcilePayments;
  ReconcileStock: ReconcileStock;
  RefundPayment: RefundPayment;
  ReleaseStock: ReleaseStock;
  ReserveStock: ReserveStock;
  RestockItems: RestockItems;
  ShipmentDelivered: ShipmentDelivered;
  ShipmentDispatched: ShipmentDispatched;
  StockLevelChanged: StockLevelChanged;
  StockReconciled: StockReconciled;
  StockReleased: StockReleased;
  StockReserved: StockReserved;
  StockUnavailable: StockUnavailable;
  VoidPayment: VoidPayment;
}

/** The `dataschema` of every message, which is the `$id` of its schema. */
export const DATASCHEMAS = {
  AuthorizePayment: "urn:bookstore:payment:AuthorizePayment:1",
  BookListed: "urn:bookstore:catalog:BookListed:1",
  BookRevised: "urn:bookstore:catalog:BookRevised:1",
  CapturePayment: "urn:bookstore:payment:CapturePayment:1",
  ContactErased: "urn:bookstore:order:ContactErased:1",
  ContactProvided: "urn:bookstore:order:ContactProvided:1",
  ItemsRestocked: "urn:bookstore:catalog:ItemsRestocked:1",
  OrderCancelled: "urn:bookstore:order:OrderCancelled:1",
  OrderConfirmed: "urn:bookstore:order:OrderConfirmed:1",
  OrderRejected: "urn:bookstore:order:OrderRejected:1",
  PaymentAuthorized: "urn:bookstore:payment:PaymentAuthorized:1",
  PaymentCaptured: "urn:bookstore:payment:PaymentCaptured:1",
  PaymentDeclined: "urn:bookstore:payment:PaymentDeclined:1",
  PaymentRefundFailed: "urn:bookstore:payment:PaymentRefundFailed:1",
  PaymentRefunded: "urn:bookstore:payment:PaymentRefunded:1",
  PaymentVoided: "urn:bookstore:payment:PaymentVoided:1",
  PaymentsReconciled: "urn:bookstore:payment:PaymentsReconciled:1",
  ReconcilePayments: "urn:bookstore:payment:ReconcilePayments:1",
  ReconcileStock: "urn:bookstore:catalog:ReconcileStock:1",
  RefundPayment: "urn:bookstore:payment:RefundPayment:1",
  ReleaseStock: "urn:bookstore:catalog:ReleaseStock:1",
  ReserveStock: "urn:bookstore:catalog:ReserveStock:1",
  RestockItems: "urn:bookstore:catalog:RestockItems:1",
  ShipmentDelivered: "urn:bookstore:fulfillment:ShipmentDelivered:1",
  ShipmentDispatched: "urn:bookstore:fulfillment:ShipmentDispatched:1",
  StockLevelChanged: "urn:bookstore:catalog:StockLevelChanged:1",
  StockReconciled: "urn:bookstore:catalog:StockReconciled:1",
  StockReleased: "urn:bookstore:catalog:StockReleased:1",
  StockReserved: "urn:bookstore:catalog:StockReserved:1",
  StockUnavailable: "urn:bookstore:catalog:StockUnavailable:1",
  VoidPayment: "urn:bookstore:payment:VoidPayment:1",
} as const satisfies Record<keyof Messages, string>;
