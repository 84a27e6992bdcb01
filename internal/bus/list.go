package bus

import "slices"

// A List is a list of a server whose changes clients hear of.
type List string

// The lists of the protocol. Whatever depends on the kind of a list ranges over
// [Lists]: a new one is added here and nowhere else.
const (
	Tools     List = "tools"
	Prompts   List = "prompts"
	Resources List = "resources"
)

// Lists are all lists, in the order in which clients are told of them.
var Lists = []List{Tools, Prompts, Resources}

// Method returns the method of the notification that the list has changed.
func (l List) Method() string { return "notifications/" + string(l) + "/list_changed" }

// Capability returns the name of the server capability that announces changes of
// the list, in its member listChanged.
func (l List) Capability() string { return string(l) }

// FilterField returns the field of a subscriptions/listen filter that asks for
// changes of the list (specification 2026-07-28, "Subscriptions").
func (l List) FilterField() string { return string(l) + "ListChanged" }

// Valid reports whether l is one of [Lists].
func (l List) Valid() bool { return slices.Contains(Lists, l) }
