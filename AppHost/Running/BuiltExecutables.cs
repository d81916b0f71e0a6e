using System.Reflection;
using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;
using Microsoft.Extensions.Configuration;

namespace Platform.AppHost.Running;

internal static class BuiltExecutablesExtensions
{
    /// <summary>
    /// Starts the executables built with the AppHost instead of using <c>dotnet run</c>, which evaluates each project again and would take most of the start-up time. Falls
    /// back to <c>dotnet run</c> if an executable is missing. Not under <c>dotnet watch</c>, which must start the projects itself.
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
