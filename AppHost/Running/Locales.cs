using System.Runtime.InteropServices;
using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;

namespace Platform.AppHost.Running;

internal static class LocalesExtensions
{
    /// <summary>
    /// Starts a service that uses ICU without it if it is not installed, and says so: .NET would otherwise end the process before its first line. Windows and
    /// macOS always have ICU.
    /// </summary>
    public static IResourceBuilder<T> WithLocales<T>(this IResourceBuilder<T> resource) where T : IResourceWithEnvironment
    {
        if (!resource.ApplicationBuilder.ExecutionContext.IsRunMode || !OperatingSystem.IsLinux() || IsIcuInstalled())
            return resource;

        Console.Error.WriteLine($"ICU is not installed (Debian: apt install libicu-dev), so {resource.Resource.Name} knows no locales: stores have English prices and dates, and names of files made on macOS are not composed.");
        return resource.WithEnvironment("DOTNET_SYSTEM_GLOBALIZATION_INVARIANT", "1");
    }

    // .NET looks for the same names, highest version first.
    private static bool IsIcuInstalled() =>
        Enumerable.Range(50, 100).Any(version => NativeLibrary.TryLoad($"libicuuc.so.{version}", out _)) || NativeLibrary.TryLoad("libicuuc.so", out _);
}
