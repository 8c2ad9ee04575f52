from runners.cli import in_utf8, main

in_utf8()
main()
