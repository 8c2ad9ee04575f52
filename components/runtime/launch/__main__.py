from components.runtime.launch.command import main

if __name__ == "__main__":
    main()
