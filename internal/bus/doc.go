// Package bus lets every instance of a fleet tell all the others something, and
// keeps what clients must hear of for those that are slow or away.
//
// The bus is one capped Redis Stream. [Bus.Publish] adds a message to it; each
// instance reads it with one blocking command ([Bus.Run]), keeps the changes that
// clients hear of in memory, in its tail, and acts on the other messages at once.
//
// A [Feed] is what one open stream gets of the bus. It has no queue: it takes what
// it wants from the tail, at the speed of its client. One rule makes that safe,
// and everything here keeps it: a feed is marked before the change can be seen in
// the tail. A feed that looks into the tail after it was marked, and finds nothing
// yet, knows that something comes; without the mark it would take the tail's end
// for the point up to which its client has everything.
//
// To add a kind of message, write its struct with encode and decode in
// message.go, and its case in Bus.apply. To add a list whose changes clients hear
// of, add it in list.go.
package bus
