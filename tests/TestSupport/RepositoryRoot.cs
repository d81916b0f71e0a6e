namespace Platform.TestSupport;

/// <summary>Finds the repository's root from the test's output directory.</summary>
public static class RepositoryRoot
{
    /// <summary>The folder that holds Platform.sln.</summary>
    public static string Path { get; } = Find();

    private static string Find()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(System.IO.Path.Combine(folder.FullName, "Platform.sln")))
            {
                return folder.FullName;
            }
        }

        throw new InvalidOperationException($"Platform.sln is in no folder above {AppContext.BaseDirectory}.");
    }
}
