module spindle/tests/interop/gotls

go 1.25
