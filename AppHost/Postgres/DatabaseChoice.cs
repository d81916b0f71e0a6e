using Aspire.Hosting;

namespace Platform.AppHost.Postgres;

internal enum DatabaseKind
{
    /// <summary>A process on this machine, run by eng/postgres/serve.</summary>
    Local,

    /// <summary>A container, which needs a container engine.</summary>
    Container,
}

internal static class DatabaseChoice
{
    /// <summary>
    /// Chooses the kind of database: the requested one, else the one that created the data (so that shops don't vanish when a container engine is installed later), else a
    /// local process if npm is installed, else a container. Stores the choice next to the data.
    /// </summary>
    /// <exception cref="DistributedApplicationException">The choice is unknown, or neither kind is possible on this machine.</exception>
    public static DatabaseKind Make(string dataDirectory, string? requested, Func<string, bool>? isOnPath = null)
    {
        var choiceFile = Path.Combine(dataDirectory, "database");
        var remembered = File.Exists(choiceFile) ? File.ReadAllText(choiceFile).Trim() : null;

        var choice = Parse(requested, "--database") ?? Parse(remembered, choiceFile) ?? Detect(isOnPath ?? IsOnPath);
        var text = choice.ToString().ToLowerInvariant();
        if (text != remembered)
        {
            Directory.CreateDirectory(dataDirectory);
            File.WriteAllText(choiceFile, text + "\n");
        }

        return choice;
    }

    private static DatabaseKind? Parse(string? value, string source) => value switch
    {
        null or "" => null,
        "local" => DatabaseKind.Local,
        "container" => DatabaseKind.Container,
        _ => throw new DistributedApplicationException($"{source} says '{value}': it must be 'local' or 'container'."),
    };

    private static DatabaseKind Detect(Func<string, bool> isOnPath) =>
        isOnPath("npm") ? DatabaseKind.Local
        : isOnPath("docker") || isOnPath("podman") ? DatabaseKind.Container
        : throw new DistributedApplicationException("PostgreSQL needs npm (to download it) or a container engine (docker or podman): neither was found.");

    private static bool IsOnPath(string program) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries)
            .Any(directory => File.Exists(Path.Combine(directory, program)));
}
