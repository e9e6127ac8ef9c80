//! `image build`: the image under names of the user's, so that others than this launcher can run it.

use crate::cli::{Image, ImageBuild};
use crate::exit::{Exit, Result, Stop};
use crate::inside;
use crate::terminal::result;
use jackdaw_conventions::Provider;
use jackdaw_runtime::docker::DockerRuntime;
use jackdaw_runtime::docker::image::Content;

/// `image`
pub async fn run(image: Image) -> Result {
    let Image::Build(build) = image;
    match &build.output {
        Some(file) => {
            let tar = Content::of_this_program(&inside::names())?.tar()?;
            std::fs::write(file, tar)
                .map_err(|error| Stop::bad_input(format!("{}: {error}", file.display())))?;
        }
        None => on_engine(&build).await?,
    }
    Ok(Exit::Done)
}

/// Its own name always; each other with the conventions that a name of that kind stands for.
async fn on_engine(build: &ImageBuild) -> Result<()> {
    let docker = DockerRuntime::connect(inside::names()).await?;
    let own = docker.own_image()?.to_owned();
    docker.import(&own, None).await?;
    result(&own);
    for tag in &build.tag {
        docker.import(tag, Provider::of_image(tag)).await?;
        result(tag);
    }
    Ok(())
}
