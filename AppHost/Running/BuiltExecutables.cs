using System.Reflection;
using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;
using Microsoft.Extensions.Configuration;

namespace Platform.AppHost.Running;

internal static class BuiltExecutablesExtensions
{
    /// <summary>
    /// Starts each project's executable, which the build of the AppHost has made, instead of <c>dotnet run</c>: evaluating three projects once more
    /// is most of the time until everything is healthy. Not under <c>dotnet watch</c>, which has to start them itself.
    /// </summary>
    public static void UseBuiltExecutables(this IDistributedApplicationBuilder builder)
    {
        if (!builder.ExecutionContext.IsRunMode || builder.Configuration.GetValue<bool>("DOTNET_WATCH"))
        {
            return;
        }

        var output = typeof(BuiltExecutablesExtensions).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().Single(metadata => metadata.Key == "OutputPath").Value!;
        foreach (var project in builder.Resources.OfType<ProjectResource>())
        {
            var directory = Path.GetDirectoryName(project.GetProjectMetadata().ProjectPath)!;
            var executable = Path.Combine(directory, output, Path.GetFileNameWithoutExtension(project.GetProjectMetadata().ProjectPath) + (OperatingSystem.IsWindows() ? ".exe" : ""));
            if (File.Exists(executable))
            {
                project.Annotations.Add(new ExecutableAnnotation { Command = executable, WorkingDirectory = directory });
            }
        }
    }
}
