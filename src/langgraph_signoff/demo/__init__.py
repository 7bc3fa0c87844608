"""The story that `signoff demo` tells: one export, approved once, told by processes of which one is killed.

`steps` is what each process does, `story` starts them and reads what they left behind, `cli.demo` prints it.
"""
